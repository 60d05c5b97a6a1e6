"""The values of one machine in one minute, as whole numbers that can be added exactly."""

from __future__ import annotations

from dataclasses import dataclass

RATIO_UNIT = 1e-4
LEVEL_UNIT_DB = 0.1
TIME_UNIT_S = 0.1

_MOST = 2**40
"""A larger ratio is kept as this many units: sums must not overflow 64 bits."""


@dataclass(slots=True)
class Tally:
    """What one machine gave in a time.

    ``ratio_*`` in ``RATIO_UNIT``, times in ``TIME_UNIT_S``. ``level_sum``: the level in
    ``LEVEL_UNIT_DB``, multiplied with the time ``level_time`` for which it is known. ``state`` was
    there for ``state_time`` longer than all other states together; if there is no such state, it
    is one of them.
    """

    ratio_min: int | None = None
    ratio_sum: int = 0
    ratio_max: int | None = None
    n_scores: int = 0
    level_sum: int = 0
    level_time: int = 0
    state: str = ""
    state_time: int = 0
    running_time: int = 0
    off_time: int = 0
    scored_time: int = 0
    received_time: int = 0
    lost_time: int = 0

    def add(self, other: Tally) -> None:
        """Add what the same machine gave in another time."""
        if other.ratio_min is not None and other.ratio_max is not None:
            self.ratio_min = min(other.ratio_min, _or(self.ratio_min, other.ratio_min))
            self.ratio_max = max(other.ratio_max, _or(self.ratio_max, other.ratio_max))
        self.ratio_sum += other.ratio_sum
        self.n_scores += other.n_scores
        self.level_sum += other.level_sum
        self.level_time += other.level_time
        if other.state == self.state:
            self.state_time += other.state_time
        elif other.state_time > self.state_time:
            self.state, self.state_time = other.state, other.state_time - self.state_time
        else:
            self.state_time -= other.state_time
        self.running_time += other.running_time
        self.off_time += other.off_time
        self.scored_time += other.scored_time
        self.received_time += other.received_time
        self.lost_time += other.lost_time

    def add_ratio(self, ratio: float) -> None:
        """Add a score divided by the threshold; it must be finite and not negative."""
        units = min(round(ratio / RATIO_UNIT), _MOST)
        self.ratio_min = min(units, _or(self.ratio_min, units))
        self.ratio_max = max(units, _or(self.ratio_max, units))
        self.ratio_sum += units
        self.n_scores += 1


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


COLUMNS = tuple(Tally.__slots__)
"""The names of the fields, in order: also those of the tables."""
