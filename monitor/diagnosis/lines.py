"""Lines of the spectrum that are new or louder, and combs of them."""

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
