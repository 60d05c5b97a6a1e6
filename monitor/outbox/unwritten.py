"""Changes of the outbox that are not on the disk yet."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice

from monitor.alerts import Alert
from monitor.clock import Moment

AlertKey = tuple[str, str, str]
"""``event_id``, ``machine`` and ``kind`` of an alert."""


@dataclass(slots=True)
class Unwritten:
    """Changes that the next transaction writes.

    ``alerts``: alerts to add, in order, by ``event_id``, each with the moment when it was
    added. ``removed``: alerts on the disk to delete. ``removed_early``: alerts that were
    removed before they were written; a commit that was reported as failed may have written
    them. ``machines``: machines whose series has changed. ``drops``: whether the count of
    dropped alerts has changed.
    """

    alerts: dict[str, tuple[Alert, Moment]] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    removed_early: set[str] = field(default_factory=set)
    machines: set[str] = field(default_factory=set)
    drops: bool = False

    def __bool__(self) -> bool:
        return bool(
            self.alerts or self.removed or self.removed_early or self.machines or self.drops
        )

    def put(self, alert: Alert, appended: Moment) -> None:
        """Add an alert at the end."""
        self.alerts[alert.event_id] = (alert, appended)

    def remove(self, event_ids: Collection[str]) -> None:
        """Remove alerts, on the disk or not yet."""
        for event_id in event_ids:
            if self.alerts.pop(event_id, None) is None:
                self.removed.add(event_id)
            else:
                self.removed_early.add(event_id)

    def added(self, machine: str | None = None) -> Iterator[Alert]:
        """The alerts to add, of one machine or of all, in order."""
        for alert, _ in self.alerts.values():
            if machine is None or alert.machine == machine:
                yield alert

    def oldest(self, number: int, *, only_updated: bool) -> list[AlertKey]:
        """The first alerts to add."""
        found = (alert for alert in self.added() if not only_updated or alert.kind == "updated")
        return [(alert.event_id, alert.machine, alert.kind) for alert in islice(found, number)]
