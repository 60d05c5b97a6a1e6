"""What was sent to a target, and what is not sent yet.

A ledger is made of the events of the history in their order, and is kept on the disk. Events after
its ``position`` are read again after a kill.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from monitor.clock import Moment, moved_rfc3339, rfc3339
from monitor.notify.incident import Incident


@dataclass(slots=True, kw_only=True)
class Ledger:
    """The incidents of one target, from the events up to ``position``.

    ``done``: alerts that were sent to their end, with the ``sequence`` of their last message.
    ``left_out``: how many incidents of each machine ended and were removed unsent, because too many
    waited; the number is sent. ``seen``: the highest ``sequence`` of each machine. ``newest_s``:
    the latest time of an event, Unix time. ``recheck_until``: events up to this position may have
    been sent already, because another file has replaced the history. ``began_unix_s``: the position
    is that of the first event since then, because there was no history yet; None if it is known.
    ``not_taken``: alerts of the outbox up to this ``sequence`` of each machine are older than the
    target. ``early``: alerts that came from the outbox, with their newest ``sequence``, until the
    history has it; ``n_early`` counts their messages.
    """

    MOST_PENDING: ClassVar[int] = 500
    MOST_DONE: ClassVar[int] = 500
    MOST_EARLY: ClassVar[int] = 5000
    """As many as the daemon keeps for a history that refuses them."""

    position: int = 0
    incidents: dict[str, Incident] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    newest_s: float = 0.0
    recheck_until: int = 0
    is_held: bool = False
    """Whether quiet hours have held something back, which is then sent together."""
    last_sent: Moment | None = None
    began_unix_s: float | None = None
    not_taken: dict[str, int] = field(default_factory=dict)
    early: dict[str, int] = field(default_factory=dict)
    n_early: int = 0

    def pending(self) -> list[Incident]:
        """What is not sent yet, in the order in which it happened."""
        waiting = (one for one in self.incidents.values() if one.is_pending)
        return sorted(waiting, key=lambda one: (one.position, one.order))

    def confirm(self, alert_id: str, sequence: int) -> None:
        """The history has a message of an alert."""
        if self.early.get(alert_id, sequence + 1) <= sequence:
            del self.early[alert_id]

    def sent(self, incidents: Iterable[Incident], now: Moment, *, holds_rest: bool = False) -> None:
        """A message about these incidents, and about those that were left out, was sent.

        ``holds_rest``: what still waits is sent together.
        """
        for one in incidents:
            one.is_sent = True
            if one.has_ended:
                self.forget(one)
        self.left_out.clear()
        self.is_held = holds_rest and bool(self.pending())
        self.last_sent = now

    def clock_set(self, by_s: float, now_unix_s: float) -> None:
        """The system clock was set: move the beginnings that it has dated wrongly.

        One that is right, because it is from before a reboot, stays: moved forward, it would be in
        the future, and before a step back it is not. Alerts have the times of their messages.
        """
        for one in self.incidents.values():
            moved = moved_rfc3339(one.started_at, by_s)
            latest = max(one.started_at, moved)
            is_wrong = (latest <= rfc3339(now_unix_s)) == (by_s > 0.0)
            if one.kind != "alert" and not one.has_ended and is_wrong:
                one.started_at = moved

    def forget(self, incident: Incident) -> None:
        """There is nothing more to send about it."""
        self.incidents.pop(incident.key, None)
        self.done.pop(incident.key, None)
        self.done[incident.key] = incident.sequence
        # Those that the history will have are known until then, or they would be sent again.
        while len(self.early) > self.MOST_EARLY:
            del self.early[next(iter(self.early))]
        excess = max(0, len(self.done) - self.MOST_DONE)
        if excess > 0:
            old = [key for key in list(self.done)[:-1] if key not in self.early]
            for key in old[:excess]:
                del self.done[key]

    def make_room(self) -> None:
        """Only count the oldest of what has ended, if too much waits."""
        pending = self.pending()
        excess = len(pending) - self.MOST_PENDING
        for one in [one for one in pending if one.has_ended][: max(0, excess)]:
            self.left_out[one.machine] = self.left_out.get(one.machine, 0) + 1
            self.forget(one)

    def begin_again(self, last_position: int) -> None:
        """The history was replaced by another file, whose last event has ``last_position``.

        What waits comes before all that the new file has, whose positions may be lower.
        """
        known = sorted(self.incidents.values(), key=lambda one: (one.position, one.order))
        for number, one in enumerate(known):
            one.position, one.order = number - len(known), 0
        self.position = 0
        self.recheck_until = last_position
