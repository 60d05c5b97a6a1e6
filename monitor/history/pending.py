"""What waits to be written into the history, up to a limit."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import ClassVar

from monitor.history.records import ALERT_KINDS, Event
from monitor.history.tally import Tally

MinuteKey = tuple[str, int]


@dataclass(slots=True)
class Batch:
    """Values by machine and minute, and events in their order."""

    minutes: dict[MinuteKey, Tally] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.minutes) + len(self.events)

    def split(self) -> tuple[Batch, Batch]:
        """The events of alerts, and everything else."""
        of_alerts = [event for event in self.events if event.kind in ALERT_KINDS]
        others = [event for event in self.events if event.kind not in ALERT_KINDS]
        return Batch(events=of_alerts), Batch(self.minutes, others)


class Pending:
    """Values and events that are not written. Not thread-safe: the caller must hold a lock.

    ``n_lost``: how many were dropped because there were too many, ``n_lost_alerts`` of them events
    of alerts. ``n_alert_events``: how many events of alerts wait. The oldest minutes and events
    are dropped; events of alerts have a limit of their own.
    """

    MOST_MINUTES: ClassVar[int] = 10_000
    MOST_EVENTS: ClassVar[int] = 2_000
    MOST_ALERT_EVENTS: ClassVar[int] = 5_000
    _AT_ONCE: ClassVar[int] = 2_000

    def __init__(self) -> None:
        self.n_lost = 0
        self.n_lost_alerts = 0
        self._minutes: dict[MinuteKey, Tally] = {}
        self._events: deque[Event] = deque()
        self._event_ids: set[str] = set()
        self.n_alert_events = 0
        self._minutes_since_s: float | None = None

    def __len__(self) -> int:
        return len(self._minutes) + len(self._events)

    @property
    def n_minutes(self) -> int:
        """How many minutes of machines wait."""
        return len(self._minutes)

    def due_s(self, collect_s: float, *, only_alerts: bool = False) -> float | None:
        """When to write, by the monotonic clock; None if nothing waits."""
        if self.n_alert_events or (self._events and not only_alerts):
            return 0.0
        if only_alerts:
            return None
        return None if self._minutes_since_s is None else self._minutes_since_s + collect_s

    def has_event(self, event_id: str) -> bool:
        """Whether a message of an alert waits."""
        return event_id in self._event_ids

    def add_minute(self, machine: str, minute: int, tally: Tally) -> None:
        """Add values to those of a minute."""
        if self._minutes_since_s is None:
            self._minutes_since_s = time.monotonic()
        waiting = self._minutes.get((machine, minute))
        if waiting is not None:
            waiting.add(tally)
            return
        self._minutes[machine, minute] = replace(tally)
        if len(self._minutes) > self.MOST_MINUTES:
            del self._minutes[next(iter(self._minutes))]
            self.n_lost += 1

    def add_event(self, event: Event) -> None:
        """Add an event."""
        self._events.append(event)
        self._counted(event, 1)
        self._limit_events()

    def take(self) -> Batch:
        """Remove and return the oldest, as much as one transaction may write."""
        keys = list(islice(self._minutes, self._AT_ONCE))
        batch = Batch({key: self._minutes.pop(key) for key in keys})
        if not self._minutes:
            self._minutes_since_s = None
        while self._events and len(batch.events) < self._AT_ONCE:
            batch.events.append(self._events.popleft())
            self._counted(batch.events[-1], -1)
        return batch

    def put_back(self, batch: Batch) -> None:
        """Put back what could not be written, before what came since then."""
        later, self._minutes = self._minutes, {}
        for minutes in (batch.minutes, later):
            for (machine, minute), tally in minutes.items():
                self.add_minute(machine, minute, tally)
        self._events.extendleft(reversed(batch.events))
        for event in batch.events:
            self._counted(event, 1)
        self._limit_events()

    def _counted(self, event: Event, by: int) -> None:
        """Note that an event waits, or no longer waits."""
        if event.kind not in ALERT_KINDS:
            return
        self.n_alert_events += by
        if by > 0:
            self._event_ids.add(event.event_id)
        else:
            self._event_ids.discard(event.event_id)

    def _limit_events(self) -> None:
        """Drop the oldest events of each kind above its limit."""
        excess = {
            True: self.n_alert_events - self.MOST_ALERT_EVENTS,
            False: len(self._events) - self.n_alert_events - self.MOST_EVENTS,
        }
        if max(excess.values()) <= 0:
            return
        kept: list[Event] = []
        for event in self._events:
            of_alert = event.kind in ALERT_KINDS
            if excess[of_alert] > 0:
                excess[of_alert] -= 1
                self.n_lost += 1
                self.n_lost_alerts += of_alert
                self._counted(event, -1)
            else:
                kept.append(event)
        self._events = deque(kept)
