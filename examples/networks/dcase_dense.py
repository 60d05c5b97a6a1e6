"""The dense autoencoder of the DCASE challenges' baseline, for ``auscult train audio --network``.

    cd examples/networks
    auscult train audio healthy/ --network dcase_dense:dense --out dense.bundle

The baseline of DCASE 2020 Task 2 (Koizumi et al. 2020, "Description and discussion on DCASE2020
Challenge Task2", arXiv:2006.05822), also that of 2023, joins five frames of 128 mel bands to 640
numbers. It reconstructs them through layers of 128, 128, 128, 128, 8, 128, 128, 128, 128 and 640
numbers, with batch normalisation and ReLU between the layers.

Here, the same layers slide along the frames of a window as convolutions. Each frame is part of up
to five reconstructions, and their mean is the result.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FRAMES = 5
HIDDEN = (128, 128, 128, 128)
BOTTLENECK = 8


class SlidingDense(nn.Module):
    """Dense layers on every ``FRAMES`` successive frames.

    Shape: ``(B, 1, n_bands, n_frames)`` to the same.
    """

    overlaps: Tensor

    def __init__(
        self, n_bands: int, n_frames: int, hidden: tuple[int, ...], bottleneck: int
    ) -> None:
        super().__init__()
        frames = min(FRAMES, n_frames)
        widths = (*hidden, bottleneck, *reversed(hidden))
        layers: list[nn.Module] = []
        n_in, kernel = n_bands, frames
        for width in widths:
            layers += [nn.Conv1d(n_in, width, kernel), nn.BatchNorm1d(width), nn.ReLU()]
            n_in, kernel = width, 1
        self.layers = nn.Sequential(*layers)
        # A layer to 640 numbers, added up where the frames overlap.
        self.frames = nn.ConvTranspose1d(n_in, n_bands, frames, bias=False)
        self.bias = nn.Parameter(torch.zeros(n_bands, 1))
        counts = torch.zeros(n_frames)
        for first in range(n_frames - frames + 1):
            counts[first : first + frames] += 1
        self.register_buffer("overlaps", counts)

    def forward(self, windows: Tensor) -> Tensor:
        """Reconstruct standardised windows."""
        sums = self.frames(self.layers(windows[:, 0]))
        reconstructed: Tensor = sums / self.overlaps + self.bias
        return reconstructed[:, None]


def dense(n_bands: int, n_frames: int) -> nn.Module:
    """The network of the baseline: 269 992 weights and biases for 128 bands in the baseline."""
    return SlidingDense(n_bands, n_frames, HIDDEN, BOTTLENECK)


def tiny(n_bands: int, n_frames: int) -> nn.Module:
    """The same with narrow layers, for a quick try."""
    return SlidingDense(n_bands, n_frames, (16, 16), 4)
