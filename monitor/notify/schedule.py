"""What is sent now, and what waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    ``holds_rest``: whether what then still waits was held back, and is sent together.
    """

    incidents: tuple[Incident, ...] = ()
    again_s: float | None = None
    holds_rest: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When something is sent to a target. ``quiet``: None without quiet hours."""

    quiet: QuietTime | None = None
    min_interval_s: float = 0.0

    def due(self, ledger: Ledger, clock: Clock, wait_s: Callable[[Incident], float]) -> Due:
        """What to send now. ``wait_s``: how long an incident should still wait for more."""
        pending = ledger.pending()
        waits = {one.key: wait_s(one) for one in pending}
        ready = _ready(pending, waits)
        again_s = min((wait for wait in waits.values() if wait > 0.0), default=None)
        is_quiet = self.quiet is not None and self.quiet.covers(clock.unix_s())
        if is_quiet and ready:
            ledger.is_held = True
            again_s = LOOK_AGAIN_S if again_s is None else min(again_s, LOOK_AGAIN_S)
        alarms = self._alarms(ready) if ledger.is_held else []
        if not ready or (is_quiet and not alarms):
            return Due((), again_s)
        if (pause_s := self._pause_s(ledger.last_sent, clock)) > 0.0:
            return Due((), pause_s)
        if alarms and self.min_interval_s == 0.0 and len(alarms) <= MOST_SINGLE:
            return Due(_up_to(alarms[:1], ready), 0.0, holds_rest=True)
        if is_quiet:
            return Due(_up_to(alarms, ready), 0.0, holds_rest=True)
        together = ledger.is_held or self.min_interval_s > 0.0 or len(ready) > MOST_SINGLE
        return Due(tuple(ready if together else ready[:1]), 0.0)

    def _alarms(self, ready: Sequence[Incident]) -> list[Incident]:
        """The new alarms that quiet hours do not hold back."""
        if self.quiet is None or not self.quiet.alarms:
            return []
        return [one for one in ready if one.is_new_alert and one.severity == "alarm"]

    def _pause_s(self, last: Moment | None, clock: Clock) -> float:
        """How long the interval since the last message still is; 0 after a reboot."""
        if last is None or not clock.boot_id or last.boot_id != clock.boot_id:
            return 0.0
        return self.min_interval_s - (clock.steady_s() - last.steady_s)


def _ready(pending: Sequence[Incident], waits: Mapping[str, float]) -> list[Incident]:
    """What need not wait. What comes after an alert of the same machine waits for that alert.

    What waits because it may soon be over holds nothing back.
    """
    ready: list[Incident] = []
    waiting: set[str] = set()
    for one in pending:
        if waits[one.key] <= 0.0 and one.machine not in waiting:
            ready.append(one)
        elif one.kind == "alert":
            waiting.add(one.machine)
    return ready


def _up_to(alarms: Sequence[Incident], ready: Sequence[Incident]) -> tuple[Incident, ...]:
    """Alarms, and what waited for the same machines before: they keep their order."""
    newest = {one.machine: one.position for one in alarms}
    return tuple(
        one for one in ready if one.machine in newest and one.position <= newest[one.machine]
    )
