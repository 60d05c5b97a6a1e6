"""An offset of the samples that is louder than the healthy sound in the lowest bands."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from monitor.detection.capture_fault import CaptureFault
from monitor.domain import DoubleArray, FloatArray
from monitor.features.log_mel import log_mel_windows
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.capture import Capture

_CELLS = 4
_STEADY_SHARE = 0.3
_ABOVE_HEALTHY_DB = 5.0
_EXPLAINS_DB = 3.0


class OffsetLeak:
    """Whether an offset of the converter (DC) changes the scored bands.

    The window of the Fourier transform lets an offset into the lowest bands. True if the offset is
    steady for two seconds, is louder there than the healthy sound, and explains the level of the
    band. Training sound with the same offset contains it, so that it is not louder. State: the
    means of the newest cells, and the offset.
    """

    def __init__(self, capture: Capture, spec: LogMelSpec) -> None:
        n_scored = capture.scored_bands
        self._high_db = np.array(capture.high_db)[:n_scored]
        self._middle_db = np.array((capture.low_db, capture.high_db)).mean(axis=0)[:n_scored]
        constant = np.ones(4 * spec.window_frames * spec.hop_length, np.float32)
        whole = log_mel_windows(constant, spec)[1]  # the first one contains the beginning
        self._of_one_db: DoubleArray = np.asarray(whole.mean(axis=1)[:n_scored], np.float64)
        # An offset of full scale is at most this much above the healthy sound.
        self._most_above_db = float((self._of_one_db - self._high_db).max(initial=-np.inf))
        self._waiting: deque[tuple[int, float]] = deque()
        self._fault = CaptureFault[float]()
        self.gap()

    @property
    def offset(self) -> float | None:
        """The offset while it changes the scored bands, otherwise None. Full scale is 1."""
        return self._fault.value

    def gap(self) -> None:
        """Sound was lost: the next cells begin anew."""
        self._waiting.clear()
        self._means: deque[float] = deque(maxlen=_CELLS)

    def measure(self, end_sample: int, cell: FloatArray) -> None:
        """Measure a cell of sound at the rate of the features that ends at ``end_sample``."""
        self._waiting.append((end_sample, float(cell.sum()) / len(cell)))

    def add(self, end_sample: int, levels_db: FloatArray) -> None:
        """Check a window that ends at ``end_sample``. Shape: ``levels_db`` is ``(n_mels,)``."""
        while self._waiting and self._waiting[0][0] <= end_sample:
            self._means.append(self._waiting.popleft()[1])
        if self._is_changed(levels_db[: len(self._high_db)]):
            self._fault.bad(sum(self._means) / len(self._means))
        else:
            self._fault.good()

    def _is_changed(self, levels_db: FloatArray) -> bool:
        """Whether the offset changes a window. Shape: ``levels_db`` is ``(n_scored,)``."""
        if len(self._means) < _CELLS:
            return False
        mean = sum(self._means) / _CELLS
        offset = abs(mean)
        if offset == 0.0:
            return False
        of_full_scale_db = 20.0 * math.log10(offset)
        if self._most_above_db + of_full_scale_db <= _ABOVE_HEALTHY_DB:
            return False
        variance = sum((one - mean) ** 2 for one in self._means) / _CELLS
        if math.sqrt(variance) > _STEADY_SHARE * offset:
            return False
        leak_db = self._of_one_db + of_full_scale_db
        gain_db = max(0.0, float(np.median(levels_db - self._middle_db)))
        is_louder = leak_db > self._high_db + gain_db + _ABOVE_HEALTHY_DB
        return bool((is_louder & (levels_db < leak_db + _EXPLAINS_DB)).any())
