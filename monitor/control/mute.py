"""A mute of one machine: how long it still lasts, whatever happens to the system clock."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.clock import Clock, Moment

_NEVER = Moment(0.0)


@dataclass(slots=True)
class Mute:
    """No alerts of ``machine`` are published for ``left_s`` seconds from ``as_of``.

    Counted is the time for which the computer runs: the system clock may be set, and may be wrong
    after a start. The time for which the computer is off does not count, so that a mute never
    ends early. ``alerts``: how many alerts it has suppressed. ``held``: the alert that is raised
    as soon as it ends, as text, empty without one; ``held_since``: when it got its times.
    """

    machine: str
    left_s: float
    as_of: Moment
    note: str = ""
    by: str = ""
    alerts: int = 0
    held: str = ""
    held_since: Moment = _NEVER

    def remaining_s(self, clock: Clock) -> float:
        """Seconds until it ends; 0 or less if it has ended."""
        now_s = clock.steady_s()
        if self.as_of.boot_id == clock.boot_id and now_s >= self.as_of.steady_s:
            return self.left_s - (now_s - self.as_of.steady_s)
        return self.left_s - now_s  # since then the computer was started, ``now_s`` seconds ago

    def is_older_than(self, age_s: float, clock: Clock) -> bool:
        """Whether ``as_of`` is longer ago, or from before the computer was started."""
        if self.as_of.boot_id != clock.boot_id:
            return True
        return not 0.0 <= clock.steady_s() - self.as_of.steady_s < age_s

    def refresh(self, clock: Clock) -> None:
        """Note that it still lasts: after a restart of the computer, it continues from here."""
        self.left_s, self.as_of = self.remaining_s(clock), clock.now()
