"""Noise of samples with few bits that is louder than the healthy sound.

A recorder with 8 bits, or one whose samples were rounded to 8 bits, gives values at steps of
1/128 of full scale. The rounding adds noise of the power ``step^2 / 12``, with dither three times
as much, which is louder than a quiet machine.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from monitor.detection.capture_fault import CaptureFault
from monitor.domain import DoubleArray, FloatArray
from monitor.features.log_mel import log_mel_windows
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.capture import Capture

_BITS = (8, 9, 10)
_FEW = 64
_REFERENCE_S = 4.0
_DITHER_DB = 6.0
"""So much more noise than that of rounding comes with dither."""
_ABOVE_HEALTHY_DB = 2.0
_MASKED_SHARE = 0.03


class RoundingNoise:
    """Whether the noise of few bits hides the sound of the machine.

    True if in 3 % of the scored bands this noise is louder than the middle of the healthy levels
    and the sound is not louder than the noise. Training sound with the same few bits has this
    noise itself, so that it is not louder. State: the steps of the newest cells, and the number
    of bits.
    """

    def __init__(self, capture: Capture, spec: LogMelSpec) -> None:
        range_db = np.array((capture.low_db, capture.high_db))
        self._healthy_db = range_db.mean(axis=0)[: capture.scored_bands]
        self._spec = spec
        self._cells: deque[tuple[float, float, int]] = deque()
        self._noise: dict[tuple[float, int], DoubleArray] = {}
        self._step, self._rate_hz = 0.0, 0
        self._fault = CaptureFault[int]()

    @property
    def bits(self) -> int | None:
        """The number of bits while their noise hides the sound, otherwise None."""
        return self._fault.value

    def gap(self) -> None:
        """Sound was lost: the next cells begin anew."""
        self._cells.clear()
        self._step = 0.0

    def measure(self, end_s: float, cell: FloatArray, sample_rate_hz: int) -> None:
        """Measure a cell at the rate of the source that ends at ``end_s``."""
        self._cells.append((end_s, _step(cell), sample_rate_hz))

    def add(self, end_s: float, levels_db: FloatArray) -> None:
        """Check a window that ends at ``end_s``. Shape: ``levels_db`` is ``(n_mels,)``."""
        while self._cells and self._cells[0][0] <= end_s:
            _, self._step, self._rate_hz = self._cells.popleft()
        if self._step and self._is_masked(levels_db):
            self._fault.bad(1 - round(math.log2(self._step)))
        else:
            self._fault.good()

    def _is_masked(self, levels_db: FloatArray) -> bool:
        noise_db = self._noise_db()[: len(self._healthy_db)]
        masked = (levels_db[: len(self._healthy_db)] <= noise_db + _DITHER_DB) & (
            self._healthy_db <= noise_db - _ABOVE_HEALTHY_DB
        )
        return float(masked.mean()) >= _MASKED_SHARE

    def _noise_db(self) -> DoubleArray:
        """The level of the noise of rounding in each band. Shape: ``(n_mels,)``."""
        key = (self._step, self._rate_hz)
        if key not in self._noise:
            rate_hz = self._spec.sample_rate_hz
            samples = np.random.default_rng(0).normal(0.0, 0.1, round(_REFERENCE_S * rate_hz))
            windows = log_mel_windows(samples.astype(np.float32), self._spec)
            power = self._step**2 / 12.0 * rate_hz / self._rate_hz / 0.1**2
            self._noise[key] = windows.mean(axis=(0, 2)) + 10.0 * math.log10(power)
        return self._noise[key]


def _step(cell: FloatArray) -> float:
    """The step of the samples of a cell; 0 where it is finer than 10 bits. ``(n_samples,)``."""
    # Nearly all sound shows in a few samples that it has more bits.
    if not _is_at_steps(cell[:_FEW], _BITS[-1]):
        return 0.0
    if not _is_at_steps(cell, _BITS[-1]) or not cell.any():
        return 0.0
    return 2.0 ** (1 - next(bits for bits in _BITS if _is_at_steps(cell, bits)))


def _is_at_steps(cell: FloatArray, bits: int) -> bool:
    steps = cell * np.float32(2.0 ** (bits - 1))
    return bool((steps == np.rint(steps)).all())
