"""A high-pass filter in the recording chain, as of a microphone with a low-cut switch.

It takes the lowest frequencies from the sound, with the noise of the room and of the microphone,
and follows a known curve. A fault of a machine does not do this: it adds sound, or leaves this
noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from monitor.detection.capture_fault import CaptureFault
from monitor.domain import DoubleArray, FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.capture import Capture

_CUTS_HZ = 60.0 * 2.0 ** (np.arange(25) / 6.0)
_ORDERS = (2, 3, 4, 6, 8)
_TOP_HZ = 2_000.0
_LEAST_BANDS = 8
_LEAST_WINDOWS = 3

_BELOW_HEALTHY_DB = 6.0
"""The least drop of the lowest band below healthy sound. With real faults it is 0 dB."""
_BELOW_OTHERS_DB = 8.0
"""The same relative to the other bands. In a machine that is off, the lowest band is louder."""
_FLOOR_DB = -40.0
"""Steps of 16 bits and leakage hide what a filter takes beyond this."""
_SPREAD_DB = 2.0
_EXPLAINED = 0.8
_MISSING_SHARE = 0.75
_OTHERS_SPREAD = 1.5
_STEEP = 0.5
_MOST_UNCERTAIN_DB = 5.0
_SILENT_DB = -27.0


class LowCut:
    """Whether a high-pass filter changes the sound.

    True if the lowest band is far below the healthy sound, and the bands below 2 kHz differ from
    its middle as a Butterworth filter of order 2 to 8 does, at any gain. The other bands must be
    as usual, and the level must fall as steeply as with the filter in the lowest bands: a shelf
    does not. State: the frequency of the filter.
    """

    def __init__(self, capture: Capture, spec: LogMelSpec) -> None:
        centres_hz = spec.band_corners_hz[1:-1][: capture.scored_bands]
        n = int(np.searchsorted(centres_hz, _TOP_HZ))
        range_db = np.array((capture.low_db, capture.high_db))[:, :n]
        self._low_db, self._middle_db = range_db[0], range_db.mean(axis=0)
        self._half_db = (range_db[1] - range_db[0]) / 2.0
        self._spec = spec
        self._lowest_db = float(range_db[0, 0]) if n >= _LEAST_BANDS else -np.inf
        self._fault = CaptureFault[float]()

    @property
    def cut_hz(self) -> float | None:
        """About where the filter begins to cut, while there is one, otherwise None."""
        return self._fault.value

    def add(self, newest_db: Sequence[FloatArray]) -> None:
        """Check the newest window, from the levels of some newest ones, ``(n_mels,)`` each."""
        lowest_db = sum(float(levels_db[0]) for levels_db in newest_db) / len(newest_db)
        if lowest_db >= self._lowest_db - _BELOW_HEALTHY_DB:
            self._fault.good()
        elif self.cut_hz is None and len(newest_db) >= _LEAST_WINDOWS:
            self._fault.bad(self._cut_of(np.stack(newest_db).mean(axis=0, dtype=np.float64)))
        else:
            self._fault.bad()

    def _cut_of(self, levels_db: DoubleArray) -> float | None:
        """Where the filter of these mean levels cuts; None without one. Shape: ``(n_mels,)``."""
        levels_db = levels_db[: len(self._low_db)]
        curves_db = _curves_db(self._spec, len(levels_db))
        nearest, gain_db = self._nearest(levels_db - self._middle_db, curves_db)
        curve_db = curves_db[nearest]
        change_db = levels_db - self._middle_db - gain_db
        is_cut, is_missing = curve_db <= -3.0, curve_db <= -3.0 - self._half_db
        if is_cut.all() or not is_missing.any():
            return None
        filtered_db = np.maximum(curve_db, _FLOOR_DB)
        spread_db = self._half_db + _SPREAD_DB
        rest = (np.maximum(change_db, _FLOOR_DB) - filtered_db) / spread_db
        whole = np.maximum(change_db, _FLOOR_DB) / spread_db
        below_db = levels_db - gain_db - self._low_db
        is_filtered = (
            below_db[0] <= -_BELOW_OTHERS_DB
            and np.square(rest[is_cut]).sum() <= (1.0 - _EXPLAINED) * np.square(whole[is_cut]).sum()
            and (below_db[is_missing] < 0.0).mean() >= _MISSING_SHARE
            and np.quantile(np.abs(rest[~is_cut]), 0.75) <= _OTHERS_SPREAD
            and self._is_steep(change_db, curve_db)
        )
        return float(_CUTS_HZ[nearest // len(_ORDERS)]) if is_filtered else None

    def _nearest(self, difference_db: DoubleArray, curves_db: DoubleArray) -> tuple[int, float]:
        """The curve nearest to a difference from healthy sound, and the gain."""
        floored_db = np.maximum(curves_db, _FLOOR_DB)
        gains_db = np.median(difference_db - floored_db, axis=1)[:, np.newaxis]
        rest_db = np.maximum(difference_db - gains_db, _FLOOR_DB) - floored_db
        rest = np.minimum(np.abs(rest_db) / (self._half_db + _SPREAD_DB), 3.0)
        nearest = int(rest.mean(axis=1).argmin())
        return nearest, float(gains_db[nearest, 0])

    def _is_steep(self, change_db: DoubleArray, curve_db: DoubleArray) -> bool:
        """Whether the level falls from the second band to the lowest as the curve does."""
        uncertain_db = min((self._half_db[0] + self._half_db[1]) / 2.0, _MOST_UNCERTAIN_DB)
        fall_db = change_db[0] - change_db[1]
        is_silent = change_db[1] <= _SILENT_DB
        return bool(is_silent or fall_db <= _STEEP * (curve_db[0] - curve_db[1]) + uncertain_db)


@lru_cache(maxsize=4)
def _curves_db(spec: LogMelSpec, n_bands: int) -> DoubleArray:
    """What each filter does to each band, by frequency and order. Shape: ``(n, n_bands)``.

    The power response of a Butterworth high-pass, averaged over the triangle of the band. A band
    so narrow that it has no bin never changes.
    """
    bank = spec.mel_filterbank[:n_bands]
    areas = bank.sum(axis=1)
    bins_hz = np.maximum(np.fft.rfftfreq(spec.n_fft, 1.0 / spec.sample_rate_hz), 1e-3)
    ratios = np.repeat(_CUTS_HZ, len(_ORDERS))[:, np.newaxis] / bins_hz
    power = 1.0 / (1.0 + ratios ** (2 * np.tile(_ORDERS, len(_CUTS_HZ))[:, np.newaxis]))
    passed = np.where(areas > 0.0, power @ bank.T, 1.0) / np.where(areas > 0.0, areas, 1.0)
    curves_db: DoubleArray = 10.0 * np.log10(np.maximum(passed, 1e-9))
    return curves_db
