"""Lines of the spectrum that are new, louder or gone, and combs of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.diagnosis.healthy import Healthy
from monitor.diagnosis.segments import peaks_of, place_of
from monitor.diagnosis.sound import Spectra

LOWEST_HZ = 5.0
_DEVIATIONS = 5.0
_LEAST_PROMINENCE_DB = 6.0
_CHANCE_SHARE = 0.12
"""A multiple is only recognised where a line misses it by less than this share of the rate."""
_GONE_DB = 10.0
_ALWAYS_DB = 12.0
_MOST_GONE = 0.5
_MOVES = 0.04
"""The speed of a machine varies by so much, as a share, without being another speed."""
_BAND_DROP_DB = 1.5
_OTHERS = 1.5


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the alert. ``strength``: its excess over the limit of what counts.

    ``level_db``: over the median of healthy sound.
    """

    hz: float
    level_db: float
    strength: float


def new_lines(sound: Spectra, healthy: Healthy, speed_hz: float | None = None) -> list[Line]:
    """The lines that no healthy piece has, and healthy ones that are louder, in order.

    Of the many healthy lines some are always louder than before. At the speed of the shaft, where
    imbalance shows, a smaller excess counts.
    """
    least_db = max(_LEAST_PROMINENCE_DB, _DEVIATIONS * sound.deviation_db)
    excess_db = healthy.line_excess_db(sound)
    is_known = healthy.is_known_line()
    lines = []
    for peak in peaks_of(sound.prominence_db, least_db, 2):
        hz = place_of(sound.prominence_db, int(peak)) * sound.plan.bin_hz
        limit_db = healthy.limits.new_db
        if is_known[peak]:
            is_first = speed_hz is not None and abs(hz - speed_hz) <= sound.plan.bin_hz
            limit_db = healthy.limits.known_db * (1.0 if is_first else _OTHERS)
        if excess_db[peak] >= limit_db and hz >= LOWEST_HZ:
            strength = float(excess_db[peak]) / limit_db
            lines.append(Line(hz, healthy.line_level_db(sound, int(peak)), strength))
    return lines


def lines_gone(sound: Spectra, healthy: Healthy) -> list[Line]:
    """Healthy lines that are in every piece and not in the alert; ``level_db`` is below 0.

    A line that moves with the speed is not gone: neither a line nor more power than that of noise
    may be within ``_MOVES`` of its place. Empty if more than half of them are gone: the machine is
    then off, or at another speed.
    """
    floor = healthy.least_prominence_db
    always = peaks_of(floor, _ALWAYS_DB, int(healthy.reach[-1]) // 4 + 2)
    always = always[always * sound.plan.bin_hz >= LOWEST_HZ]
    mean_db = healthy.mean_density_db
    # The least of several maxima is a plateau: the line is where the mean is largest on it.
    starts = np.maximum(always - healthy.reach[always], 0)
    ends = always + healthy.reach[always] + 1
    at = {int(low + mean_db[low:end].argmax()) for low, end in zip(starts, ends, strict=True)}
    gone = []
    for peak in sorted(at):
        drops_db = [
            _drop_db(one, healthy, peak, place)
            for one in (sound, sound.raw)
            for place in (peak, peak / healthy.speed)
        ]
        if min(drops_db) >= max(_GONE_DB, healthy.limits.known_db):
            gone.append(
                Line(float(peak * sound.plan.bin_hz), -min(drops_db), min(drops_db) / _GONE_DB)
            )
    return gone if len(gone) <= _MOST_GONE * len(at) else []


def _drop_db(sound: Spectra, healthy: Healthy, peak: int, place: float) -> float:
    """By how much a healthy line is weaker at a place, in bins; 0 if it may only have moved."""
    near = _around(place)
    if float(sound.prominence_db[near].max()) >= 4.0 * sound.deviation_db:
        return 0.0
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


@dataclass(frozen=True, slots=True)
class LineComb:
    """Lines at multiples of a rate, by number, and the rate that they fit best."""

    lines: dict[int, Line]
    rate_hz: float
    uncertainty_hz: float

    @classmethod
    def of(cls, lines: dict[int, Line], bin_hz: float) -> LineComb:
        """Least squares. A line's place is known to a quarter of a bin at best."""
        numbers = np.array(list(lines))
        places = np.array([line.hz for line in lines.values()])
        weight = float(numbers @ numbers)
        rate_hz = float(numbers @ places) / weight
        spread = float(np.sqrt(np.mean((places - rate_hz * numbers) ** 2)))
        return cls(lines, rate_hz, max(0.25 * bin_hz, spread) / weight**0.5)

    @property
    def strength(self) -> float:
        """Of the six strongest together."""
        strongest = sorted((line.strength for line in self.lines.values()), reverse=True)[:6]
        return float(np.sqrt(np.sum(np.square(strongest))))

    @property
    def level_db(self) -> float:
        """Of the line that has risen most."""
        return max(line.level_db for line in self.lines.values())


def multiples(
    lines: Iterable[Line], rate_hz: float, relative: float, bin_hz: float
) -> dict[int, Line]:
    """The multiples of a rate that are among the lines; only where that cannot be chance.

    ``relative``: the uncertainty of the rate, as a share.
    """
    found: dict[int, Line] = {}
    for line in lines:
        number = round(line.hz / rate_hz)
        tolerance_hz = max(0.6 * bin_hz, 2.0 * relative * line.hz)
        if number < 1 or tolerance_hz > _CHANCE_SHARE * rate_hz:
            continue
        is_stronger = number not in found or line.strength > found[number].strength
        if abs(line.hz - number * rate_hz) <= tolerance_hz and is_stronger:
            found[number] = line
    return found


def without(lines: Sequence[Line], taken: Iterable[Line]) -> list[Line]:
    """The lines that are not taken."""
    gone = set(taken)
    return [line for line in lines if line not in gone]
