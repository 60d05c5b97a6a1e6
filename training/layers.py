"""Layers of the autoencoders."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from monitor.errors import UsageError


def require_bottleneck(latent_dim: int, input_dim: int) -> None:
    """Raise UsageError unless 1 <= ``latent_dim`` < ``input_dim``.

    A network whose code is as large as its input can learn to copy, and then has no errors.
    """
    if input_dim < 2:
        raise UsageError("an input of 1 element has no bottleneck: at least 2 are needed")
    if not 1 <= latent_dim < input_dim:
        raise UsageError(
            f"latent dimension {latent_dim} is no bottleneck for an input of {input_dim} elements; "
            f"choose 1 to {input_dim - 1}"
        )


SMALLEST_SIDE = 8


def halvings(height: int, width: int, smallest: int = SMALLEST_SIDE) -> list[tuple[int, int]]:
    """Return the sizes of the grid from (height, width) on: each is half the last, rounded up.

    There is at least one halving. The last size is the first whose shorter side is at most
    ``smallest``.
    """
    sizes = [(height, width)]
    while len(sizes) == 1 or min(sizes[-1]) > smallest:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


def perceptron(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers of ``sizes``, with batch normalisation and ReLU between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes[:-1]):
        layers += [nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def downsampling(widths: Sequence[int]) -> list[nn.Module]:
    """Convolutions that halve the grid, from ``widths[0]`` channels to ``widths[-1]``."""
    return [
        module for n_in, n_out in pairwise(widths) for module in convolution(n_in, n_out, stride=2)
    ]


def upsampling(widths: Sequence[int], sizes: Sequence[tuple[int, int]]) -> list[nn.Module]:
    """Transposed convolutions to grids of ``sizes``, from ``widths[0]`` channels.

    Without normalisation and ReLU after the last one.
    """
    layers: list[nn.Module] = []
    for n_in, n_out, size in zip(widths[:-1], widths[1:], sizes[1:], strict=True):
        layers += doubling(n_in, n_out, size)
    return layers[:-2]


def doubling(n_in: int, n_out: int, size: tuple[int, int]) -> list[nn.Module]:
    """A 4 x 4 transposed convolution to a grid of ``size``, normalisation and ReLU."""
    layer = nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1)
    return [layer, CutToSize(size), nn.BatchNorm2d(n_out), nn.ReLU()]


def halving_stem(n_in: int, n_out: int, size: tuple[int, int]) -> list[nn.Module]:
    """Move each 2 x 2 pixels of an image of ``size`` into channels, and a 3 x 3 convolution.

    On a CPU this is several times faster than a strided convolution of one or three channels.
    """
    padding = nn.ReplicationPad2d((0, size[1] % 2, 0, size[0] % 2))
    return [padding, nn.PixelUnshuffle(2), *convolution(4 * n_in, n_out)]


def doubling_end(n_in: int, n_out: int, size: tuple[int, int]) -> list[nn.Module]:
    """The inverse of ``halving_stem``: to an image of ``size``, without an output function."""
    return [nn.Conv2d(n_in, 4 * n_out, 3, padding=1), nn.PixelShuffle(2), CutToSize(size)]


def convolution(n_in: int, n_out: int, *, stride: int = 1) -> list[nn.Module]:
    """A 3 x 3 convolution (stride 1) or a 4 x 4 one (stride 2, grid halved and rounded up)."""
    layer: nn.Module
    if stride == 1:
        layer = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
    else:
        layer = nn.Sequential(
            nn.ReplicationPad2d((1, 2, 1, 2)), nn.Conv2d(n_in, n_out, 4, stride=2, bias=False)
        )
    return [layer, nn.BatchNorm2d(n_out), nn.ReLU()]


class CutToSize(nn.Module):
    """Cut a grid to ``size`` (height, width) at its right and lower side."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, c, >= height, >= width)`` to ``(n, c, height, width)``."""
        return x[..., : self.size[0], : self.size[1]]


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, whose result is added to the input (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *convolution(channels, channels), *convolution(channels, channels)[:2]
        )
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, c, h, w)`` to the same shape."""
        return self.relu(x + self.body(x))  # type: ignore[no-any-return]  # nn.Module calls are untyped
