"""A mute of one machine. Its length does not depend on the system clock."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.clock import Clock, Moment

_NEVER = Moment(0.0)


@dataclass(slots=True)
class Mute:
    """No alerts of ``machine`` are published for ``left_s`` seconds from ``as_of``.

    Only the time for which the computer runs counts, because the system clock may be set and may
    be wrong after a start. A mute therefore never ends early. ``alerts``: how many alerts it has
    held back. ``held``: the alert that is raised when the mute ends, as text, empty without one;
    ``held_since``: when its times were set. ``began``: when the machine was muted; it stays if the
    mute gets another end.
    """

    machine: str
    left_s: float
    as_of: Moment
    note: str = ""
    by: str = ""
    alerts: int = 0
    held: str = ""
    held_since: Moment = _NEVER
    began: Moment = _NEVER

    def remaining_s(self, clock: Clock) -> float:
        """Seconds until the mute ends; 0 or less if it has ended."""
        now_s = clock.steady_s()
        if self.as_of.boot_id == clock.boot_id and now_s >= self.as_of.steady_s:
            return self.left_s - (now_s - self.as_of.steady_s)
        return self.left_s - now_s  # since then the computer was started, ``now_s`` seconds ago

    def began_unix_s(self, clock: Clock) -> float:
        """When the mute began, by the system clock as it is set now."""
        began_s = self.began.unix_s + clock.set_since_s(self.began)
        return min(max(0.0, began_s), clock.unix_s())

    def is_older_than(self, age_s: float, clock: Clock) -> bool:
        """Whether ``as_of`` is longer ago, or from before the computer was started."""
        if self.as_of.boot_id != clock.boot_id:
            return True
        return not 0.0 <= clock.steady_s() - self.as_of.steady_s < age_s

    def refresh(self, clock: Clock) -> None:
        """Set ``left_s`` and ``as_of`` to now, for a restart of the computer."""
        self.left_s, self.as_of = self.remaining_s(clock), clock.now()
