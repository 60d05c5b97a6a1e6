"""The network of new bundles: the bands are the channels of convolutions along the frames.

A convolution over bands and frames needs several times the computation and detects no more faults
(``docs/decisions/0015-lean-graph.md``).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from training.sound.network import LatentAutoencoder, SoundNetworkSpec

BANDS: Final = "bands_as_channels"
_STRIDES = (4, 2)
"""Of the first convolution, and of each later one."""


class Step(NamedTuple):
    """The kernel and the stride of a convolution along the frames, and its positions."""

    kernel: int
    stride: int
    positions: int


class BandAutoencoder(LatentAutoencoder):
    """Strided convolutions to a linear bottleneck, and back to a quarter of the frames.

    Each position of the reconstruction is held for four frames.
    """

    spread: Tensor

    def __init__(self, spec: SoundNetworkSpec) -> None:
        super().__init__(spec)
        self.steps = steps_of(spec)
        down: list[nn.Module] = []
        widths = pairwise((spec.n_scored, *spec.channels))
        for (n_in, n_out), step in zip(widths, self.steps, strict=True):
            down += [nn.Conv1d(n_in, n_out, step.kernel, stride=step.stride, bias=False)]
            down += [nn.BatchNorm1d(n_out), nn.ReLU()]
        self.encoder = nn.Sequential(*down)
        self.squeeze = nn.Conv1d(spec.channels[-1], spec.bottleneck, self.steps[-1].positions)
        positions = self.steps[0].positions
        self.expand = nn.Linear(spec.bottleneck, spec.channels[0] * positions)
        self.decoder = nn.Conv1d(spec.channels[0], spec.n_scored, 1)
        self.register_buffer("spread", _spread(positions, spec.n_frames), persistent=False)

    @property
    def kind(self) -> str:
        """See ``SoundAutoencoder``."""
        return BANDS

    def encode(self, standardised: Tensor) -> Tensor:
        """See ``LatentAutoencoder``."""
        latent: Tensor = self.squeeze(self.encoder(standardised))
        return latent.flatten(1)

    def decode(self, latent: Tensor) -> Tensor:
        """See ``LatentAutoencoder``."""
        code = self.expand(latent).relu().unflatten(1, (self.spec.channels[0], -1))
        reconstructed: Tensor = self.decoder(code) @ self.spread
        return reconstructed


def steps_of(spec: SoundNetworkSpec) -> list[Step]:
    """The convolutions of the encoder. Their kernels cover every frame.

    The first one has a quarter of the frames as positions, each later one half of those before.
    """
    steps: list[Step] = []
    for number in range(len(spec.channels)):
        length = steps[-1].positions if steps else spec.n_frames
        positions = max(1, length // _STRIDES[min(number, 1)])
        stride = length // positions
        steps.append(Step(length - (positions - 1) * stride, stride, positions))
    return steps


def _spread(positions: int, n_frames: int) -> Tensor:
    """The matrix that holds each position for its frames. Shape: ``(positions, n_frames)``."""
    frames = torch.arange(n_frames)
    matrix = torch.zeros(positions, n_frames)
    matrix[frames * positions // n_frames, frames] = 1.0
    return matrix
