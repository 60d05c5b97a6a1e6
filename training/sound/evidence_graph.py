"""Evidence: the numbers of a window from which the score is computed.

The evidence does not depend on the level. It is averaged over seconds: random variation then
cancels, and a constant shift remains. It has three parts, in this order:

``residual``
    the mean over the window of input minus reconstruction, one number for each band;
``spectrum``
    the mean over the window of the input itself, one number for each band;
``flutter``
    the logarithm of the RMS of the residual's second differences from frame to frame, one
    number for each group of neighbouring bands. Impacts and rattle raise it, a steadier sound
    lowers it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.sound.encoder_file import Encoding
from training.sound.network import SoundAutoencoder

BANDS_PER_GROUP = 4
LEAST_POWER = 1e-6


@dataclass(frozen=True, slots=True)
class EvidenceLayout:
    """The positions of the parts of the evidence, for ``n_bands`` scored bands."""

    n_bands: int

    @property
    def n_groups(self) -> int:
        """Groups of neighbouring bands. The last one may be smaller."""
        return -(-self.n_bands // BANDS_PER_GROUP)

    @property
    def length(self) -> int:
        """Numbers in the evidence of one window."""
        return 2 * self.n_bands + self.n_groups

    @property
    def residual(self) -> slice:
        """The mean residual of each band."""
        return slice(0, self.n_bands)

    @property
    def spectrum(self) -> slice:
        """The mean level-free log-mel of each band."""
        return slice(self.n_bands, 2 * self.n_bands)

    @property
    def parts(self) -> tuple[slice, slice]:
        """The parts with equal weight in a distance: residual with spectrum, and flutter."""
        return slice(0, 2 * self.n_bands), slice(2 * self.n_bands, self.length)

    @property
    def parts_without_network(self) -> tuple[slice, slice]:
        """The same for the evidence that needs no network."""
        return slice(0, self.n_bands), slice(self.n_bands, self.n_bands + self.n_groups)

    def grouping(self) -> Tensor:
        """The matrix that averages bands into groups. Shape: ``(n_groups, n_bands)``."""
        matrix = torch.zeros(self.n_groups, self.n_bands)
        for group in range(self.n_groups):
            first = group * BANDS_PER_GROUP
            bands = min(BANDS_PER_GROUP, self.n_bands - first)
            matrix[group, first : first + bands] = 1.0 / bands
        return matrix


class WindowEvidence(NamedTuple):
    """What a bundle's graph computes for ``B`` windows, see ``docs/bundles.md``."""

    loss: Tensor
    evidence: Tensor
    band_residual: Tensor
    level_db: Tensor
    reconstruction: Tensor


class EvidenceGraph(nn.Module):
    """A trained network and the computation of the evidence: the content of ``model.onnx``.

    Buffers: ``residual_mean`` and ``residual_deviation`` ``(n_bands,)`` of healthy spans, by
    which ``band_residual`` is standardised. Bands that are not scored are not in loss, evidence
    and level, their ``band_residual`` is 0, and their reconstruction is the window itself.
    ``encoding``: an encoder whose vectors are also evidence. It is not part of the graph.
    """

    grouping: Tensor
    residual_mean: Tensor
    residual_deviation: Tensor

    def __init__(self, network: SoundAutoencoder) -> None:
        super().__init__()
        self.network = network
        self.layout = EvidenceLayout(network.spec.n_scored)
        self.encoding: Encoding | None = None
        self.register_buffer("grouping", self.layout.grouping())
        self.register_buffer("residual_mean", torch.zeros(self.layout.n_bands))
        self.register_buffer("residual_deviation", torch.ones(self.layout.n_bands))

    @property
    def parts(self) -> tuple[slice, ...]:
        """The parts with equal weight in a distance of all evidence."""
        own = self.layout.parts
        return own if self.encoding is None else self.encoding.parts(own)

    def forward(self, windows: Tensor) -> WindowEvidence:
        """Shape: ``(B, 1, n_mels, n_frames)`` in dB."""
        seen = self.network(windows)
        residual = seen.windows - seen.reconstructed
        mean_residual = residual.mean(dim=2)
        evidence = torch.cat(
            (mean_residual, seen.windows.mean(dim=2), self._flutter(residual)), dim=1
        )
        band_residual = (mean_residual - self.residual_mean) / self.residual_deviation
        residual_db = residual * self.network.deviation_db
        return WindowEvidence(
            loss=residual.square().mean(dim=(1, 2)),
            evidence=evidence,
            band_residual=nn.functional.pad(band_residual, (0, self._n_unscored)),
            level_db=seen.level_db,
            reconstruction=windows[:, 0]
            - nn.functional.pad(residual_db, (0, 0, 0, self._n_unscored)),
        )

    def without_network(self, windows: Tensor) -> Tensor:
        """The evidence that needs no network: spectrum and flutter of the windows themselves.

        Shape: ``(B, 1, n_mels, n_frames)`` in dB to ``(B, n_bands + n_groups)``.
        """
        seen = self.network.standardise(windows, self.network.level_db(windows))
        return torch.cat((seen.mean(dim=2), self._flutter(seen)), dim=1)

    @property
    def _n_unscored(self) -> int:
        return self.network.spec.n_mels - self.layout.n_bands

    def _flutter(self, values: Tensor) -> Tensor:
        """Shape: ``(B, n_bands, n_frames)`` to ``(B, n_groups)``."""
        grouped = torch.matmul(self.grouping, values)
        second_differences = grouped[:, :, 2:] - 2.0 * grouped[:, :, 1:-1] + grouped[:, :, :-2]
        return 0.5 * torch.log(second_differences.square().mean(dim=2) + LEAST_POWER)
