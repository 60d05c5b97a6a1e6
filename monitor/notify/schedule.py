"""What is sent now, and what waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monitor.clock import Clock, Moment
from monitor.notify.incident import Incident
from monitor.notify.ledger import Ledger
from monitor.notify.quiet_hours import QuietTime

MOST_SINGLE = 5
"""If more incidents wait, they are sent in one message."""
LOOK_AGAIN_S = 30.0
"""The quiet hours are looked at this often, because the clock can be set."""


@dataclass(frozen=True, slots=True)
class Due:
    """``incidents``: what the next message is about, in order; empty: nothing now.

    ``again_s``: after how many seconds to look again, if nothing new happens; None: never.
    """

    incidents: tuple[Incident, ...] = ()
    again_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When something is sent to a target. ``quiet``: None without quiet hours."""

    quiet: QuietTime | None = None
    min_interval_s: float = 0.0

    def due(self, ledger: Ledger, clock: Clock, wait_s: Callable[[Incident], float]) -> Due:
        """What to send now. ``wait_s``: how long an incident should still wait for more."""
        pending = ledger.pending()
        waits = {one.key: wait_s(one) for one in pending}
        ready = [one for one in pending if waits[one.key] <= 0.0]
        again_s = min((wait for wait in waits.values() if wait > 0.0), default=None)
        is_quiet = self.quiet is not None and self.quiet.covers(clock.unix_s())
        if is_quiet and ready:
            ledger.is_held = True
            ready = _passing(ready) if self.quiet is not None and self.quiet.alarms else []
            again_s = LOOK_AGAIN_S if again_s is None else min(again_s, LOOK_AGAIN_S)
        if not ready:
            return Due((), again_s)
        if (pause_s := self._pause_s(ledger.last_sent, clock)) > 0.0:
            return Due((), pause_s)
        together = (
            is_quiet or ledger.is_held or self.min_interval_s > 0.0 or len(ready) > MOST_SINGLE
        )
        return Due(tuple(ready if together else ready[:1]), 0.0)

    def _pause_s(self, last: Moment | None, clock: Clock) -> float:
        """How long the interval since the last message still is; 0 after a reboot."""
        if last is None or not clock.boot_id or last.boot_id != clock.boot_id:
            return 0.0
        return self.min_interval_s - (clock.steady_s() - last.steady_s)


def _passing(ready: Sequence[Incident]) -> list[Incident]:
    """New alarms, and what waited for the same machines before: they keep their order."""
    newest = {
        one.machine: one.position
        for one in ready
        if one.severity == "alarm" and not one.is_sent and not one.has_ended
    }
    return [one for one in ready if one.machine in newest and one.position <= newest[one.machine]]
