"""Detects a microphone that does not work: silence, stuck input, clipping, DC offset.

The sound of a muted, unplugged, saturated or stuck microphone contains no information about the
machine. It is detected before scoring, so that it is not taken for a fault of the machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from monitor.audio.latch import Latch
from monitor.audio.unmixed_cell import CANCELLED, UnmixedCell, cancellation, surely_kept
from monitor.domain import AudioBlock, FloatArray, SourceState, SourceStatus
from monitor.features.finite import all_finite

_OK = SourceState(SourceStatus.OK)
_FULL_SCALE = 0.999
_REACH = 0.7
_REACH_DB = 3.0
_USUAL_REACH = 0.6
_USUAL_ABOVE_DB = 13.0
_USUAL_SHARE = 1e-3


@dataclass(frozen=True, slots=True)
class SignalLimits:
    """Limits for the sound of a working microphone.

    A fault begins when every cell (``cell_s`` of sound) during ``*_after_s`` shows it. It
    ends when no cell during ``recover_s`` is near the limit (3 dB, or 0.7 of it), so
    that a signal at the limit does not alternate. The defaults allow for healthy sound:
    the quietest working microphones measured are at -68 dBFS, and a fault of the machine
    may be loud enough to clip a sixth of the samples.
    """

    cell_s: float = 0.25
    dead_after_s: float = 0.5
    """All samples have one value; a working microphone has noise."""
    quiet_dbfs: float = -90.0
    """RMS around the mean; about one step of 16-bit sound."""
    quiet_after_s: float = 3.0
    clipped_share: float = 0.18
    """Share of samples at full scale. From about 0.2 on, clipped healthy sound raises alerts."""
    clipped_after_s: float = 2.0
    dc_offset: float = 0.1
    """Mean, full scale +-1."""
    dc_after_s: float = 2.0
    recover_s: float = 1.0


class SignalCheck:
    """Audio blocks to the state of the signal: ``OK``, or the fault.

    Reasons: ``not_finite`` (NaN, infinity), ``stuck`` (one value that is not
    zero), ``silence`` (digital zero, below ``quiet_dbfs``, or channels that cancel each other
    in their mean), which are ``NO_SIGNAL``; ``clipping`` and ``dc_offset``, which are
    ``DEGRADED``. There is no clock: the sound is checked in cells at fixed positions of the
    stream, so the state after a sample does not depend on how the stream is cut into blocks.
    A discontinuity drops the unfinished cell only.
    """

    def __init__(self, limits: SignalLimits | None = None) -> None:
        self._limits = limits = limits or SignalLimits()
        self._not_finite = self._latch(limits.cell_s)
        self._stuck = self._latch(limits.dead_after_s)
        self._zero = self._latch(limits.dead_after_s)
        self._cancelled = self._latch(limits.dead_after_s)
        self._quiet = self._latch(limits.quiet_after_s)
        self._clipping = self._latch(limits.clipped_after_s)
        self._dc_offset = self._latch(limits.dc_after_s)
        self._latches = (
            *(self._not_finite, self._stuck, self._zero, self._cancelled),
            *(self._quiet, self._clipping, self._dc_offset),
        )
        self._cell = np.empty(0, dtype=np.float32)
        self._usual_power = 10.0 ** ((limits.quiet_dbfs + _USUAL_ABOVE_DB) / 10.0)
        self._filled = 0
        self._whole = True
        self._channels = UnmixedCell()
        self.state = _OK

    def begin(self, block: AudioBlock) -> int:
        """The samples of ``block`` follow, in calls of ``take``.

        How many of them belong to the cell that is not complete.
        """
        cell_samples = self.cell_samples(block.sample_rate_hz)
        if block.discontinuous or cell_samples != len(self._cell):
            self._cell = np.empty(cell_samples, dtype=np.float32)
            self._filled = block.first_sample % cell_samples
            self._whole = self._filled == 0
        self._channels.begin(block.unmixed, cell_samples)
        return cell_samples - self._filled

    def cell_samples(self, sample_rate_hz: int) -> int:
        """Samples in a cell. The state changes only at multiples of this number.

        Samples that are not finite are the exception: they change it at once.
        """
        return max(1, round(sample_rate_hz * self._limits.cell_s))

    def push(self, block: AudioBlock) -> SourceState:
        """The state of the signal after ``block``. Shape: ``block.samples`` is ``(n_samples,)``."""
        samples, left = block.samples, self.begin(block)
        while len(samples):
            self.take(samples[:left])
            samples, left = samples[left:], len(self._cell)
        return self.state

    def take(self, part: FloatArray) -> SourceState:
        """The state after samples of a block that do not reach beyond the unfinished cell."""
        cell, first = self._cell, self._filled
        channels = self._channels.take(len(part), first)
        self._filled += len(part)
        if len(part) == len(cell):
            cell = part
        else:
            cell[first : self._filled] = part
        if not all_finite(part):
            self._whole = False
            self._not_finite.push(bad=True, good=False)
            self._become("not_finite", "samples that are not numbers (NaN or infinity)")
        if self._filled == len(cell):
            if self._whole and not self._take_usual(cell, channels):
                self._check_cell(cell, channels)
            self._filled, self._whole = 0, True
        return self.state

    def take_usual(self, samples: FloatArray) -> int:
        """Take the whole cells at the beginning of ``samples`` that are far from every limit.

        How many samples these are: none unless the state is ``OK`` and no cell is unfinished.
        :meth:`take` gives the same state for each.
        """
        taken, length = 0, len(self._cell)
        while taken + length <= len(samples):
            cell = samples[taken : taken + length]
            if not self._take_usual(cell, self._channels.next(length)):
                break
            self._channels.skip(length)
            taken += length
        return taken

    def _take_usual(self, cell: FloatArray, channels: FloatArray | None) -> bool:
        """Take a cell that is far from every limit; false for another, which is not taken."""
        if self._filled % len(cell) or self.state is not _OK or not self._is_usual(cell, channels):
            return False
        for latch in self._latches:
            latch.push(bad=False, good=True)
        return True

    def _is_usual(self, cell: FloatArray, channels: FloatArray | None) -> bool:
        """Whether sums show that a cell is far from every limit. Shape: ``(cell_samples,)``.

        The power around the mean is far above the limit, and so large a share of the whole that
        rounding does not matter: the cell is neither quiet nor constant. The mean is far below its
        limit. The power is too small for as many samples at full scale as the limit allows.
        """
        limits = self._limits
        power = float(np.dot(cell, cell)) / len(cell)
        mean = float(np.dot(cell, _ones(len(cell)))) / len(cell)
        centred = power - mean * mean
        return (
            centred >= _USUAL_SHARE * power
            and centred >= self._usual_power
            and abs(mean) < _USUAL_REACH * limits.dc_offset
            and power < _USUAL_REACH * limits.clipped_share
            and surely_kept(centred, channels)
        )

    def _latch(self, after_s: float) -> Latch:
        def cells(seconds: float) -> int:
            return max(1, math.ceil(seconds / self._limits.cell_s))

        return Latch(cells(after_s), cells(self._limits.recover_s))

    def _check_cell(self, cell: FloatArray, channels: FloatArray | None) -> None:
        """Check a cell of finite samples. Shapes: ``(cell_samples,)``, ``(cell_samples, n)``."""
        limits = self._limits
        lowest, highest = float(cell.min()), float(cell.max())
        constant = lowest == highest
        mean = float(cell.sum(dtype=np.float64)) / len(cell)
        centred = cell - np.float32(mean)
        rms = math.sqrt(float(np.dot(centred, centred)) / len(cell))
        level_dbfs = 20.0 * math.log10(max(rms, 1e-10))
        alive = not constant and level_dbfs >= limits.quiet_dbfs + _REACH_DB
        loud = max(highest, -lowest) >= _FULL_SCALE
        clipped = float((np.abs(cell) >= _FULL_SCALE).mean()) if loud else 0.0

        cancelled, kept = cancellation(rms * rms, channels, limits.quiet_dbfs + _REACH_DB)

        self._not_finite.push(bad=False, good=True)
        self._cancelled.push(bad=cancelled, good=kept)
        self._stuck.push(bad=constant and lowest != 0.0, good=alive)
        self._zero.push(bad=constant and lowest == 0.0, good=alive)
        self._quiet.push(bad=level_dbfs < limits.quiet_dbfs, good=alive)
        _push_above(self._clipping, clipped, limits.clipped_share)
        _push_above(self._dc_offset, abs(mean), limits.dc_offset)

        if self._not_finite.on:
            pass
        elif self._cancelled.on:
            self._become("silence", CANCELLED)
        elif self._stuck.on:
            self._become("stuck", f"every sample is {lowest:.4f}: the input is stuck")
        elif self._zero.on:
            self._become("silence", "digital silence: the microphone was muted or unplugged")
        elif self._quiet.on:
            low = f"{level_dbfs:.0f} dBFS: the microphone was muted, or its gain is too low"
            self._become("silence", low)
        elif self._clipping.on:
            self._become("clipping", f"{clipped:.0%} of the samples at full scale: lower the gain")
        elif self._dc_offset.on:
            self._become("dc_offset", f"DC offset of {mean:+.2f} of full scale: check the input")
        else:
            self.state = _OK

    def _become(self, reason: str, detail: str) -> None:
        """Take this state; its detail stays as it was when the fault began."""
        was_cancelled = self.state.detail == CANCELLED
        if self.state.reason != reason or was_cancelled is not (detail == CANCELLED):
            degraded = reason in {"clipping", "dc_offset"}
            status = SourceStatus.DEGRADED if degraded else SourceStatus.NO_SIGNAL
            self.state = SourceState(status, reason, detail)


@lru_cache(maxsize=4)
def _ones(n: int) -> FloatArray:
    return np.ones(n, dtype=np.float32)


def _push_above(latch: Latch, value: float, limit: float) -> None:
    latch.push(bad=value >= limit, good=value < _REACH * limit)
