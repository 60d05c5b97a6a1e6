"""What was sent to a target, and what is not sent yet.

A ledger is made of the events of the history in their order, and is kept on the disk. Events after
its ``position`` are read again after a kill.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from monitor.clock import Moment
from monitor.notify.incident import Incident


@dataclass(slots=True, kw_only=True)
class Ledger:
    """The incidents of one target, from the events up to ``position``.

    ``done``: alerts that were sent to their end, with the ``sequence`` of their last message.
    ``left_out``: how many incidents of each machine ended and were removed unsent, because too many
    waited; the number is sent. ``seen``: the highest ``sequence`` of each machine. ``newest_s``:
    the latest time of an event, Unix time. ``recheck_until``: events up to this position may have
    been sent already, because another file has replaced the history.
    """

    MOST_PENDING: ClassVar[int] = 500
    MOST_DONE: ClassVar[int] = 500

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

    def pending(self) -> list[Incident]:
        """What is not sent yet, in the order in which it happened."""
        waiting = (one for one in self.incidents.values() if one.is_pending)
        return sorted(waiting, key=lambda one: one.position)

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

    def forget(self, incident: Incident) -> None:
        """There is nothing more to send about it."""
        self.incidents.pop(incident.key, None)
        self.done.pop(incident.key, None)
        self.done[incident.key] = incident.sequence
        while len(self.done) > self.MOST_DONE:
            del self.done[next(iter(self.done))]

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
        known = sorted(self.incidents.values(), key=lambda one: one.position)
        for number, one in enumerate(known):
            one.position = number - len(known)
        self.position = 0
        self.recheck_until = last_position
