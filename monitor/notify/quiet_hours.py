"""Whether it is a time of the day in which messages wait."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time, timedelta, tzinfo

from monitor.clock import local_time


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietTime:
    """From ``start`` until ``end`` on each of ``days``; 0 is Monday. Over midnight if ``end`` is
    earlier: ``days`` are then the days on which it begins.

    ``zone``: None is the zone of the computer. ``alarms``: whether new alerts are sent all the
    same.
    """

    start: time
    end: time
    days: frozenset[int] = frozenset(range(7))
    zone: tzinfo | None = None
    alarms: bool = False

    def covers(self, unix_s: float) -> bool:
        """Whether a moment is in the quiet time, by the clock on the wall of the zone."""
        local = local_time(unix_s, self.zone)
        now, today = local.time(), local.date()
        if self.start < self.end:
            return today.weekday() in self.days and self.start <= now < self.end
        if now >= self.start:
            return today.weekday() in self.days
        return now < self.end and (today - timedelta(days=1)).weekday() in self.days
