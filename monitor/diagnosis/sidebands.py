"""Lines at equal distances on both sides of a strong one: its loudness changes at that rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from monitor.diagnosis.healthy import Healthy
from monitor.diagnosis.lines import Line
from monitor.diagnosis.segments import peaks_of, place_of
from monitor.diagnosis.sound import Spectra
from monitor.domain import DoubleArray

_CARRIER_DB, _LINE_DB = 15.0, 6.0
_LEAST_SIDEBANDS = 2
_SIDEBANDS_FROM = 5.0
"""A carrier is at least so many times the distance of its sidebands."""
_LEAST_DISTANCE_HZ = 2.0
_MOST = 6
_DIVISORS = (1, 2, 3, 4)
"""If healthy sound has the nearest sidebands too, the new ones are at multiples of the distance."""


def sidebands(
    lines: Sequence[Line], sound: Spectra, healthy: Healthy, speed_hz: float | None
) -> tuple[float, float, list[Line]] | None:
    """The carrier, the distance and the new lines around it; None if there are none.

    One pair may be chance. Two pairs are not, and neither is a pair at the speed of the shaft. Of
    the distances that the most new lines have, the smallest one is the true one.
    """
    bin_hz = sound.plan.bin_hz
    peaks = peaks_of(sound.prominence_db, _LINE_DB, 2)
    places_hz = np.array([place_of(sound.prominence_db, int(peak)) * bin_hz for peak in peaks])
    carries = healthy.is_known_line()[peaks] & (sound.prominence_db[peaks] >= _CARRIER_DB)
    best: tuple[float, float, list[Line]] | None = None
    for low, high in combinations(lines, 2):
        middle_hz, half_hz = (low.hz + high.hz) / 2.0, (high.hz - low.hz) / 2.0
        near = places_hz[carries & (np.abs(places_hz - middle_hz) <= 0.6 * bin_hz)]
        if not len(near):
            continue
        for divisor in _DIVISORS:
            distance_hz = half_hz / divisor
            if distance_hz < _LEAST_DISTANCE_HZ or middle_hz < _SIDEBANDS_FROM * distance_hz:
                continue
            found = _around(float(near[0]), distance_hz, lines, places_hz, bin_hz)
            is_shaft = speed_hz is not None and abs(distance_hz - speed_hz) <= 0.6 * bin_hz
            if len(found) < (_LEAST_SIDEBANDS if is_shaft else 2 * _LEAST_SIDEBANDS):
                continue
            if best is None or (len(found), -distance_hz) > (len(best[2]), -best[1]):
                best = (float(near[0]), distance_hz, found)
    return best


def _around(
    carrier_hz: float,
    distance_hz: float,
    lines: Sequence[Line],
    places_hz: DoubleArray,
    bin_hz: float,
) -> list[Line]:
    """The new lines at multiples of a distance from the carrier.

    Empty if all lines there, also healthy ones, are at multiples of a larger distance.
    """
    numbers = np.rint((places_hz - carrier_hz) / distance_hz)
    is_there = (np.abs(places_hz - carrier_hz - numbers * distance_hz) <= bin_hz) & (numbers != 0)
    there = {abs(int(number)) for number in numbers[is_there] if abs(number) <= _MOST}
    if math.gcd(*there) != 1 or not {1, 2} & there:
        return []
    return [
        line
        for line in lines
        if 1 <= abs(number := round((line.hz - carrier_hz) / distance_hz)) <= _MOST
        and abs(line.hz - carrier_hz - number * distance_hz) <= bin_hz
    ]
