"""Time that does not step, and the wall time that belongs to it.

The system clock can be set, by hundreds of days on a board without a battery. Therefore ages and
order are computed from the time since the computer was started. This time is converted to wall
time, with the system clock as it is set then, only when a message gets a date.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STEP_S = 1.0
"""A smaller change of the system clock is a correction, not a step."""


def _since_boot_s() -> float:
    """Seconds since the computer was started, with the time in standby."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _step(by_s: float) -> float:
    """By how much the system clock was set; 0 for a correction."""
    return by_s if abs(by_s) >= _STEP_S else 0.0


def read_boot_id() -> str:
    """What identifies the run of this computer since it was started; empty where unknown."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def rfc3339(unix_s: float) -> str:
    """UTC with milliseconds, as in ``2026-11-23T10:15:30.250Z``."""
    return _rfc3339_of(datetime.fromtimestamp(unix_s, UTC))


def moved_rfc3339(time: str, by_s: float) -> str:
    """A time in RFC 3339 moved by ``by_s``; a text that is no such time stays as it is."""
    try:
        return _rfc3339_of(datetime.fromisoformat(time) + timedelta(seconds=by_s))
    except (ValueError, OverflowError):
        return time


def _rfc3339_of(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local_time(unix_s: float, zone: tzinfo | None = None) -> datetime:
    """The time on the wall in ``zone``; None is the zone of this computer as it is set now."""
    if zone is None:
        time.tzset()  # or a process would keep the zone with which it was started
    return datetime.fromtimestamp(unix_s, UTC).astimezone(zone)


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened, by both clocks; ``boot_id`` is empty for Unix time alone."""

    unix_s: float
    steady_s: float = 0.0
    boot_id: str = ""


class Clock:
    """The two clocks of this computer. Safe to use from any thread.

    ``boot_id``: steady times can be compared only within one boot.
    """

    def __init__(
        self,
        steady_s: Callable[[], float] = _since_boot_s,
        unix_s: Callable[[], float] = time.time,
        boot_id: str | None = None,
    ) -> None:
        self.steady_s = steady_s
        """Seconds on a clock that is never set and only moves forward."""
        self.unix_s = unix_s
        """Unix time in seconds, by the system clock as it is set now."""
        self.boot_id = read_boot_id() if boot_id is None else boot_id

    def offset_s(self) -> float:
        """Unix time less steady time: changes only when the system clock is set."""
        return self.unix_s() - self.steady_s()

    def now(self) -> Moment:
        """This moment."""
        return Moment(self.unix_s(), self.steady_s(), self.boot_id)

    def moment_of(self, offset_s: float) -> Moment:
        """A moment of this boot at which the clocks had this offset."""
        return Moment(offset_s, 0.0, self.boot_id)

    def set_since_s(self, moment: Moment) -> float:
        """By how much the system clock was set since a moment; 0 for a correction.

        This is not known for a moment of an earlier boot. If such a moment is in the future, the
        result is the negative step that moves it to now, otherwise 0.
        """
        if not moment.boot_id or moment.boot_id != self.boot_id:
            return _step(min(0.0, self.unix_s() - moment.unix_s))
        return _step(self.offset_s() - (moment.unix_s - moment.steady_s))

    def unix_at(self, steady_s: float) -> float:
        """The Unix time of a moment, by the system clock as it is set now, never in the future."""
        return self.unix_s() - max(0.0, self.steady_s() - steady_s)


SYSTEM_CLOCK = Clock()


class StepWatch:
    """Notices that the system clock was set."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._offset_s = clock.offset_s()

    def step_s(self) -> float:
        """By how much the clock was set since the last call, positive for forward; mostly 0."""
        offset_s = self._clock.offset_s()
        step_s = offset_s - self._offset_s
        self._offset_s = offset_s
        return _step(step_s)
