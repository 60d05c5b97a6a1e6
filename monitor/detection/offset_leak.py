"""An offset of the samples that changes what is scored at the lowest frequencies."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from monitor.audio.steady_offset import STEADY_CELLS, SteadyOffset, mean_of
from monitor.detection.capture_fault import CaptureFault
from monitor.domain import DoubleArray, FloatArray
from monitor.features.log_mel import log_mel_windows
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.capture import Capture

_CELLS = 4
_ABOVE_HEALTHY_DB = 5.0
_EXPLAINS_DB = 3.0

_LOW_HZ = 500.0
"""Where the lowest band of the envelope spectrum ends."""
_MOST_F_MIN_HZ = 100.0
"""Features without the lowest frequencies do not show how loud the sound below 500 Hz is."""
_IN_ENVELOPE_DB = -25.0
"""In 15 minutes, a healthy pump raised alerts from -23 dB on, and none at -27 dB."""
_ENDS_DB = -28.0
_ABOVE_TRAINED_DB = 3.5
_CLIPPED = 0.9
"""A fault so loud that it clips has an offset by that: it is scored."""


class OffsetLeak:
    """Whether an offset of the converter (DC) changes what is scored.

    The window of the Fourier transform lets an offset into the lowest bands. True if the offset is
    steady for two seconds, is louder in a mel band than the healthy sound, and explains the level
    of the band. Training sound with the same offset contains it, so that it is not louder.

    An offset also adds the tones of the machine below 500 Hz to the envelope of this band, long
    before it is louder. True as well if the offset is steady for four seconds, larger than any in
    the training sound, and more than -25 dB of the sound below 500 Hz. A bundle that does not
    know the offset of its training sound is not tested for this. State: the means of the newest
    cells, and the offset.
    """

    def __init__(self, capture: Capture, spec: LogMelSpec) -> None:
        n_scored = capture.scored_bands
        self._high_db = np.array(capture.high_db)[:n_scored]
        self._middle_db = np.array((capture.low_db, capture.high_db)).mean(axis=0)[:n_scored]
        constant = np.ones(4 * spec.window_frames * spec.hop_length, np.float32)
        whole = log_mel_windows(constant, spec)[1]  # the first one contains the beginning
        self._of_one_db: DoubleArray = np.asarray(whole.mean(axis=1)[:n_scored], np.float64)
        corners_hz = spec.band_corners_hz
        n_low = min(n_scored, int(np.searchsorted(corners_hz[1:-1], _LOW_HZ)))
        # Of triangles of unit area: makes their sum that of all bins of the Fourier transform.
        self._widths_hz: DoubleArray = (corners_hz[2:] - corners_hz[:-2])[:n_low] / 2.0
        self._of_one_in_low_db = 20.0 * math.log10(spec.n_fft / 4)
        self._healthy_low_db = self._low_db(self._middle_db)
        is_known = capture.offset is not None and n_low and spec.f_min_hz <= _MOST_F_MIN_HZ
        self._trained_db = _db(capture.offset or 0.0) if is_known else None
        # A smaller offset is not louder than healthy sound.
        above_healthy_db = float((self._of_one_db - self._high_db).max(initial=-np.inf))
        self._least_louder_db = _ABOVE_HEALTHY_DB - above_healthy_db
        self._waiting: deque[tuple[int, float, bool]] = deque()
        self._newest, self._longer = SteadyOffset(_CELLS), SteadyOffset(STEADY_CELLS)
        self._fault = CaptureFault[float]()

    @property
    def offset(self) -> float | None:
        """The offset while it changes what is scored, otherwise None. Full scale is 1."""
        return self._fault.value

    def gap(self) -> None:
        """Sound was lost: the next cells begin anew."""
        self._waiting.clear()
        self._newest.gap()
        self._longer.gap()

    def measure(self, end_sample: int, cell: FloatArray) -> None:
        """Measure a cell of sound at the rate of the features that ends at ``end_sample``."""
        is_clipped = max(float(cell.max()), -float(cell.min())) >= _CLIPPED
        self._waiting.append((end_sample, mean_of(cell), is_clipped))

    def add(self, end_sample: int, levels_db: FloatArray) -> None:
        """Check a window that ends at ``end_sample``. Shape: ``levels_db`` is ``(n_mels,)``."""
        while self._waiting and self._waiting[0][0] <= end_sample:
            _, mean, is_clipped = self._waiting.popleft()
            self._newest.add(mean)
            self._longer.add(mean)
            if is_clipped:
                self._longer.gap()
        levels_db = levels_db[: len(self._high_db)]
        # The fault does not end because slow sound comes on top of the offset.
        longer = self._longer.steady if self.offset is None else self._longer.mean
        if self._is_louder(self._newest.steady, levels_db):
            self._fault.bad(self._newest.steady)
        elif self._is_in_envelope(longer, levels_db):
            self._fault.bad(longer)
        else:
            self._fault.good()

    def _is_louder(self, offset: float, levels_db: FloatArray) -> bool:
        """Whether it is louder than healthy sound in a mel band, ``(n_scored,)``."""
        offset_db = _db(offset)
        if offset_db <= self._least_louder_db:
            return False
        leak_db = self._of_one_db + offset_db
        is_louder = leak_db > self._high_db + self._gain_db(levels_db) + _ABOVE_HEALTHY_DB
        return bool((is_louder & (levels_db < leak_db + _EXPLAINS_DB)).any())

    def _is_in_envelope(self, offset: float, levels_db: FloatArray) -> bool:
        """Whether it changes the envelope of the lowest frequencies. Shape: ``(n_scored,)``."""
        if self._trained_db is None:
            return False
        offset_db = _db(offset)
        limit_db = _IN_ENVELOPE_DB if self.offset is None else _ENDS_DB
        above_sound_db = offset_db + self._of_one_in_low_db - limit_db
        # A machine that is off has less sound, and is not scored.
        if above_sound_db <= self._healthy_low_db or above_sound_db <= self._low_db(levels_db):
            return False
        return offset_db > self._trained_db + self._gain_db(levels_db) + _ABOVE_TRAINED_DB

    def _gain_db(self, levels_db: FloatArray) -> float:
        """How much louder the sound is than in training; 0 if it is quieter."""
        return max(0.0, float(np.median(levels_db - self._middle_db)))

    def _low_db(self, levels_db: FloatArray | DoubleArray) -> float:
        """The level of all sound below 500 Hz. Shape: ``levels_db`` is ``(n_scored,)``."""
        powers = 10.0 ** (levels_db[: len(self._widths_hz)].astype(np.float64) / 10.0)
        return 10.0 * math.log10(float(powers @ self._widths_hz) + 1e-10)


def _db(offset: float) -> float:
    return 20.0 * math.log10(max(abs(offset), 1e-10))
