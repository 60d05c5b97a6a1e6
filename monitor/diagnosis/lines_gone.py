"""Lines that all healthy sound has, and the alert has not.

The speed of a machine varies, so a line that moves is not gone: it may be beside its place, or be
so wide that it does not stand out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.diagnosis.healthy import Healthy
from monitor.diagnosis.lines import LOWEST_HZ, Line
from monitor.diagnosis.segments import peaks_of
from monitor.diagnosis.sound import Spectra

_ALWAYS_DB, _GONE_DB = 12.0, 10.0
_STANDS_OUT = 4.0
_MOVES = 0.04
"""The speed of a machine varies by so much, as a share, without being another speed."""
_BAND_DROP_DB = 1.5
_MOST = 0.5


@dataclass(frozen=True, slots=True)
class GoneLines:
    """``lines``: in order, with a ``level_db`` below 0.

    ``is_most``: more than half of the healthy lines are gone: the machine is off, or at another
    speed, or hidden by noise. Then ``lines`` is empty.
    """

    lines: tuple[Line, ...] = ()
    is_most: bool = False


def lines_gone(sound: Spectra, healthy: Healthy) -> GoneLines:
    """The lines that every healthy piece has, and that are not within ``_MOVES`` in the alert."""
    gone: list[Line] = []
    n_there = 0
    for peak in _always(healthy):
        drops_db = [
            _drop_db(one, healthy, peak, place)
            for one in (sound, sound.raw)
            for place in (peak, peak / healthy.speed)
        ]
        n_there += any(drop_db is None for drop_db in drops_db)
        drop_db = min((one or 0.0 for one in drops_db), default=0.0)
        if drop_db >= max(_GONE_DB, healthy.limits.known_db):
            gone.append(Line(peak * sound.plan.bin_hz, -drop_db, drop_db / _GONE_DB))
    if len(gone) > _MOST * (len(gone) + n_there):
        return GoneLines(is_most=True)
    return GoneLines(tuple(gone))


def _always(healthy: Healthy) -> list[int]:
    """The bins of the lines that every healthy piece has, in order."""
    peaks = peaks_of(healthy.least_prominence_db, _ALWAYS_DB, int(healthy.reach[-1]) // 4 + 2)
    peaks = peaks[peaks * healthy.plan.bin_hz >= LOWEST_HZ]
    mean_db = healthy.mean_density_db
    # The least of several maxima is a plateau: the line is where the mean is largest on it.
    starts = np.maximum(peaks - healthy.reach[peaks], 0)
    ends = peaks + healthy.reach[peaks] + 1
    at = {int(low + mean_db[low:end].argmax()) for low, end in zip(starts, ends, strict=True)}
    return sorted(at)


def _drop_db(sound: Spectra, healthy: Healthy, peak: int, place: float) -> float | None:
    """By how much a healthy line is weaker near a place, in bins.

    None if a line is there; 0 if there may be one that is too wide to stand out.
    """
    near = _around(place)
    if float(sound.prominence_db[near].max()) >= _STANDS_OUT * sound.deviation_db:
        return None
    before_db = [
        _band_above_db(one, _around(peak / healthy.speed * speed))
        for one, speed in zip(healthy.pieces, healthy.speeds, strict=True)
    ]
    if _band_above_db(sound, near) > np.median(before_db) - _BAND_DROP_DB:
        return 0.0
    return float(healthy.median_density_db[peak] - sound.density_db[near].max())


def _around(place: float) -> slice:
    return slice(max(0, int(place * (1.0 - _MOVES)) - 3), int(place * (1.0 + _MOVES)) + 4)


def _band_above_db(sound: Spectra, near: slice) -> float:
    """The power of some bins over that of the background there."""
    power = float(np.mean(10.0 ** (sound.power_db[near] / 10.0)))
    return 10.0 * float(np.log10(power + 1e-30)) - float(sound.background_db[near].mean())
