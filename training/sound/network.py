"""What every autoencoder for sound has: level, standardisation, and how it is called.

The mean of each window in dB is subtracted first, because a change of gain is not a fault. The
rest is standardised with the mean of each band and one deviation for all bands, so that quiet
bands do not get the weight of loud ones. ``band_network.py`` has the network of new bundles,
``grid_network.py`` that of bundles of earlier versions, ``module_network.py`` those from outside.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from training.layers import require_bottleneck


@dataclass(frozen=True, slots=True)
class SoundNetworkSpec:
    """The shape of a network.

    ``channels``: of the strided convolutions. ``bottleneck``: numbers that encode a window.
    ``scored_bands``: the lowest bands, which the network receives. None: all bands.
    """

    n_mels: int
    n_frames: int
    channels: tuple[int, ...] = (32, 32)
    bottleneck: int = 8
    scored_bands: int | None = None

    def __post_init__(self) -> None:
        """Refuse a bottleneck that is as large as the window, and bands that do not exist.

        Raises ``ValueError`` and ``UsageError``.
        """
        sizes = (self.n_mels, self.n_frames, self.bottleneck, self.n_scored, *self.channels)
        if any(not isinstance(size, int) or size is True or size < 1 for size in sizes):
            raise ValueError("sizes must be whole numbers of at least 1")
        if not 1 <= self.n_scored <= self.n_mels:
            raise ValueError(f"scored_bands {self.scored_bands}: expected 1 to {self.n_mels}")
        require_bottleneck(self.bottleneck, self.n_scored * self.n_frames)

    @property
    def n_scored(self) -> int:
        """How many of the lowest bands are scored."""
        return self.n_mels if self.scored_bands is None else self.scored_bands

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values, without ``scored_bands`` where all are scored."""
        values = {**asdict(self), "channels": list(self.channels)}
        return {name: value for name, value in values.items() if value is not None}


class Reconstruction(NamedTuple):
    """The output for a batch of windows, standardised except for the level.

    ``windows`` and ``reconstructed``: ``(B, n_scored, n_frames)``; ``latent``:
    ``(B, bottleneck)``; ``level_db``: ``(B,)``, the mean of each window.
    """

    windows: Tensor
    reconstructed: Tensor
    latent: Tensor
    level_db: Tensor


class Coded(NamedTuple):
    """A reconstruction ``(B, n_scored, n_frames)`` and its latent ``(B, bottleneck)``.

    The latent is ``(B, 0)`` where it is not known.
    """

    reconstructed: Tensor
    latent: Tensor


class SoundAutoencoder(nn.Module):
    """An autoencoder of the scored bands of windows.

    Buffers: ``band_mean_db`` ``(n_mels,)`` and ``deviation_db`` ``()`` of windows without their
    level. ``machine_head`` classifies the machine from the latent, in training only.
    """

    band_mean_db: Tensor
    deviation_db: Tensor

    def __init__(self, spec: SoundNetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("band_mean_db", torch.zeros(spec.n_mels))
        self.register_buffer("deviation_db", torch.ones(()))
        self.machine_head: nn.Linear | None = None

    @property
    @abstractmethod
    def kind(self) -> str | None:
        """The name of the kind of network in a manifest."""

    @abstractmethod
    def reconstruct(self, standardised: Tensor) -> Coded:
        """Shape: ``(B, n_scored, n_frames)`` to the same, with the latent."""

    def forward(self, windows_db: Tensor) -> Reconstruction:
        """Reconstruct windows. Shape: ``(B, 1, n_mels, n_frames)`` in dB."""
        level_db = self.level_db(windows_db)
        standardised = self.standardise(windows_db, level_db)
        coded = self.reconstruct(standardised)
        return Reconstruction(standardised, coded.reconstructed, coded.latent, level_db)

    def level_db(self, windows_db: Tensor) -> Tensor:
        """The mean of the scored bands. Shape: ``(B, 1, n_mels, n_frames)`` to ``(B,)``."""
        return self._scored(windows_db).mean(dim=(1, 2))

    def standardise(self, windows_db: Tensor, level_db: Tensor) -> Tensor:
        """Subtract level and band means of the scored bands, divide by the deviation.

        Shape: ``(B, 1, n_mels, n_frames)`` to ``(B, n_scored, n_frames)``.
        """
        level_free = self._scored(windows_db) - level_db[:, None, None]
        means_db = self.band_mean_db[: self.spec.n_scored, None]
        return (level_free - means_db) / self.deviation_db

    def _scored(self, windows_db: Tensor) -> Tensor:
        return windows_db[:, 0, : self.spec.n_scored]


class LatentAutoencoder(SoundAutoencoder):
    """An autoencoder whose latent is known, so that a classifier can be trained on it."""

    @abstractmethod
    def encode(self, standardised: Tensor) -> Tensor:
        """Shape: ``(B, n_scored, n_frames)`` to ``(B, bottleneck)``."""

    @abstractmethod
    def decode(self, latent: Tensor) -> Tensor:
        """Shape: ``(B, bottleneck)`` to ``(B, n_scored, n_frames)``."""

    def reconstruct(self, standardised: Tensor) -> Coded:
        """See ``SoundAutoencoder``."""
        latent = self.encode(standardised)
        return Coded(self.decode(latent), latent)
