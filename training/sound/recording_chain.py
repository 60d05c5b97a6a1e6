"""How one recording was captured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.audio.cells import SoundCells
from monitor.audio.signal_check import SignalLimits
from monitor.audio.spectral_gaps import SpectralGaps
from monitor.audio.steady_offset import STEADY_CELLS, SteadyOffset, mean_of
from monitor.audio.zeroed_sound import is_zeroed
from monitor.domain import AudioBlock, CaptureChain
from monitor.features.log_mel_spec import LogMelSpec

_SILENT_RMS = 10.0 ** (SignalLimits().quiet_dbfs / 20.0)


@dataclass(frozen=True, slots=True)
class RecordedBy:
    """How one recording was captured: its chain, and its share of spectral gaps.

    ``zeroed_share``: the share of half seconds with zeros in place of lost sound.
    ``offset``: the largest steady offset of the samples, or their mean if this is larger.
    """

    chain: CaptureChain
    gap_share: float
    zeroed_share: float
    offset: float


class RecordingObserver:
    """What ``RecordedBy`` needs, collected while the frames of a recording are computed."""

    def __init__(self, spec: LogMelSpec) -> None:
        self._gaps = SpectralGaps(spec.sample_rate_hz)
        self._shares: list[float] = []
        self._received = SoundCells()
        self._zeroed: list[bool] = []
        self._cells, self._offset = SoundCells(), SteadyOffset(STEADY_CELLS)
        self._cell_means: list[float] = []
        self._largest_offset = 0.0
        self._chain: CaptureChain | None = None
        self._loudest = 0.0

    def block(self, block: AudioBlock) -> None:
        """See ``BlockObserver``."""
        if self._chain is None:
            self._chain = block.chain or CaptureChain("file", block.sample_rate_hz)
        if len(block.samples):
            self._zeroed += [
                is_zeroed(cell, block.sample_rate_hz) for _, cell in self._received.push(block)
            ]
            self._loudest = max(self._loudest, float(np.std(block.samples, dtype=np.float64)))

    def resampled(self, block: AudioBlock) -> None:
        """See ``BlockObserver``."""
        self._shares += [share for _, share in self._gaps.push(block)]
        if block.discontinuous:
            self._offset.gap()
        for _, cell in self._cells.push(block):
            self._cell_means.append(mean_of(cell))
            self._offset.add(self._cell_means[-1])
            self._largest_offset = max(self._largest_offset, abs(self._offset.steady))

    @property
    def is_silent(self) -> bool:
        """Whether no block of the sound is louder than that of a muted microphone."""
        return self._chain is not None and self._loudest < _SILENT_RMS

    @property
    def recorded_by(self) -> RecordedBy | None:
        """None for log-mel, whose sound is not known."""
        if self._chain is None:
            return None
        shares = _mean(self._shares), _mean(self._zeroed)
        offset = max(self._largest_offset, abs(_mean(self._cell_means)))
        return RecordedBy(self._chain, *shares, offset)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
