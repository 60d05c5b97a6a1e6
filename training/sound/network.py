"""The convolutional autoencoder for sound.

The mean of each window in dB is subtracted first, because a change of gain is not a fault. The
rest is standardised with the mean of each band and one deviation for all bands, so that quiet
bands do not get the weight of loud ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from monitor.errors import BundleError
from training.layers import CutToSize, require_bottleneck

_SHUFFLED_HALVINGS = 2
"""The last halvings are undone in one step by sub-pixel convolution (Shi et al. 2016), because a
convolution over the whole grid to one channel would be most of the computation."""


@dataclass(frozen=True, slots=True)
class SoundNetworkSpec:
    """The shape of the network.

    ``channels``: of the strided convolutions, each of which halves the grid. ``bottleneck``:
    numbers that encode a window. ``scored_bands``: the lowest bands, which the network
    receives; it receives 0 instead of the others. None: all bands.
    """

    n_mels: int
    n_frames: int
    channels: tuple[int, ...] = (8, 16, 32, 32)
    bottleneck: int = 8
    scored_bands: int | None = None

    def __post_init__(self) -> None:
        """Refuse a bottleneck that is as large as the window, and bands that do not exist."""
        if not 1 <= self.n_scored <= self.n_mels:
            raise ValueError(f"scored_bands {self.scored_bands}: expected 1 to {self.n_mels}")
        require_bottleneck(self.bottleneck, self.n_scored * self.n_frames)

    @property
    def n_scored(self) -> int:
        """How many of the lowest bands are scored."""
        return self.n_mels if self.scored_bands is None else self.scored_bands

    @property
    def grids(self) -> list[tuple[int, int]]:
        """The grid before and after each strided convolution, halved and rounded up."""
        grids = [(self.n_mels, self.n_frames)]
        for _ in self.channels:
            height, width = grids[-1]
            grids.append(((height + 1) // 2, (width + 1) // 2))
        return grids

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values, without ``scored_bands`` where all are scored."""
        values = {**asdict(self), "channels": list(self.channels)}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SoundNetworkSpec:
        """The spec in a bundle's manifest. Raises ``BundleError`` for other keys."""
        try:
            return cls(**{**values, "channels": tuple(values["channels"])})
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"network: not the description of a sound network ({error})"
            ) from error


class Reconstruction(NamedTuple):
    """The output for a batch of windows, standardised except for the level.

    ``windows`` and ``reconstructed``: ``(B, n_mels, n_frames)``; ``latent``:
    ``(B, bottleneck)``; ``level_db``: ``(B,)``, the mean of each window.
    """

    windows: Tensor
    reconstructed: Tensor
    latent: Tensor
    level_db: Tensor


class SoundAutoencoder(nn.Module):
    """Strided convolutions to a linear bottleneck, then upsampling.

    Buffers: ``band_mean_db`` ``(n_mels,)`` and ``deviation_db`` ``()`` of windows
    without their level. The bottleneck is a convolution over the whole grid: a linear layer
    whose result for one window does not depend on the batch size. ``machine_head`` classifies
    the machine from the latent, in training only.
    """

    band_mean_db: Tensor
    deviation_db: Tensor

    def __init__(self, spec: SoundNetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("band_mean_db", torch.zeros(spec.n_mels))
        self.register_buffer("deviation_db", torch.ones(()))
        widths = (1, *spec.channels)
        down: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            down += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=False)]
            down += [nn.BatchNorm2d(n_out), nn.GELU()]
        self.encoder = nn.Sequential(*down)
        self.squeeze = nn.Conv2d(widths[-1], spec.bottleneck, spec.grids[-1])
        self.expand = nn.ConvTranspose2d(spec.bottleneck, widths[-1], spec.grids[-1])
        up: list[nn.Module] = [nn.GELU()]
        shuffled = min(_SHUFFLED_HALVINGS, len(spec.channels))
        outwards = list(zip(pairwise(widths[:0:-1]), spec.grids[-2:0:-1], strict=True))
        for (n_in, n_out), grid in outwards[: len(spec.channels) - shuffled]:
            up += [nn.Upsample(scale_factor=2, mode="nearest"), CutToSize(grid)]
            up += [nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)]
            up += [nn.BatchNorm2d(n_out), nn.GELU()]
        factor = 2**shuffled
        up += [nn.Conv2d(widths[shuffled], factor**2, 3, padding=1), nn.PixelShuffle(factor)]
        self.decoder = nn.Sequential(*up, CutToSize(spec.grids[0]))
        self.machine_head: nn.Linear | None = None

    def forward(self, windows_db: Tensor) -> Reconstruction:
        """Reconstruct windows. Shape: ``(B, 1, n_mels, n_frames)`` in dB."""
        level_db = self.level_db(windows_db)
        standardised = self.standardise(windows_db, level_db)
        latent = self.squeeze(self.encoder(standardised))
        reconstructed = self._only_scored(self.decoder(self.expand(latent)))
        return Reconstruction(
            standardised.squeeze(1), reconstructed.squeeze(1), latent.flatten(1), level_db
        )

    def level_db(self, windows_db: Tensor) -> Tensor:
        """The mean of the scored bands. Shape: ``(B, 1, n_mels, n_frames)`` to ``(B,)``."""
        return windows_db[:, :, : self.spec.n_scored].mean(dim=(1, 2, 3))

    def standardise(self, windows_db: Tensor, level_db: Tensor) -> Tensor:
        """Subtract level and band means, divide by the deviation. The shape stays the same."""
        level_free = windows_db - level_db[:, None, None, None]
        return self._only_scored((level_free - self.band_mean_db[:, None]) / self.deviation_db)

    def _only_scored(self, values: Tensor) -> Tensor:
        """0 in the bands that are not scored. Shape: ``(B, 1, n_mels, n_frames)``, both."""
        spec = self.spec
        if spec.scored_bands is None:
            return values
        unscored = (0, 0, 0, spec.n_mels - spec.n_scored)
        return nn.functional.pad(values[:, :, : spec.n_scored], unscored)

    def to_db(self, standardised: Tensor, level_db: Tensor) -> Tensor:
        """Undo :meth:`standardise`. Shape: ``(B, n_mels, n_frames)`` and ``(B,)``."""
        level_free = standardised * self.deviation_db + self.band_mean_db[:, None]
        return level_free + level_db[:, None, None]
