"""The network of bundles of earlier versions, so that their training can be continued.

Its convolutions go over bands and frames.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from training.layers import CutToSize
from training.sound.network import LatentAutoencoder, SoundNetworkSpec

_SHUFFLED_HALVINGS = 2
"""The last halvings are undone in one step by sub-pixel convolution (Shi et al. 2016), because a
convolution over the whole grid to one channel would be most of the computation."""


class GridAutoencoder(LatentAutoencoder):
    """Strided convolutions to a linear bottleneck, then upsampling.

    The bands that are not scored are 0. The bottleneck is a convolution over the whole grid: a
    linear layer whose result for one window does not depend on the batch size.
    """

    def __init__(self, spec: SoundNetworkSpec) -> None:
        super().__init__(spec)
        grids = grids_of(spec)
        widths = (1, *spec.channels)
        down: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            down += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=False)]
            down += [nn.BatchNorm2d(n_out), nn.GELU()]
        self.encoder = nn.Sequential(*down)
        self.squeeze = nn.Conv2d(widths[-1], spec.bottleneck, grids[-1])
        self.expand = nn.ConvTranspose2d(spec.bottleneck, widths[-1], grids[-1])
        up: list[nn.Module] = [nn.GELU()]
        shuffled = min(_SHUFFLED_HALVINGS, len(spec.channels))
        outwards = list(zip(pairwise(widths[:0:-1]), grids[-2:0:-1], strict=True))
        for (n_in, n_out), grid in outwards[: len(spec.channels) - shuffled]:
            up += [nn.Upsample(scale_factor=2, mode="nearest"), CutToSize(grid)]
            up += [nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)]
            up += [nn.BatchNorm2d(n_out), nn.GELU()]
        factor = 2**shuffled
        up += [nn.Conv2d(widths[shuffled], factor**2, 3, padding=1), nn.PixelShuffle(factor)]
        self.decoder = nn.Sequential(*up, CutToSize(grids[0]))

    @property
    def kind(self) -> None:
        """Earlier versions did not name it."""

    def encode(self, standardised: Tensor) -> Tensor:
        """See ``SoundAutoencoder``."""
        unscored = self.spec.n_mels - self.spec.n_scored
        grid = nn.functional.pad(standardised, (0, 0, 0, unscored))[:, None]
        latent: Tensor = self.squeeze(self.encoder(grid))
        return latent.flatten(1)

    def decode(self, latent: Tensor) -> Tensor:
        """See ``SoundAutoencoder``."""
        reconstructed: Tensor = self.decoder(self.expand(latent[:, :, None, None]))
        return reconstructed[:, 0, : self.spec.n_scored]


def grids_of(spec: SoundNetworkSpec) -> list[tuple[int, int]]:
    """The grid before and after each strided convolution, halved and rounded up."""
    grids = [(spec.n_mels, spec.n_frames)]
    for _ in spec.channels:
        height, width = grids[-1]
        grids.append(((height + 1) // 2, (width + 1) // 2))
    return grids
