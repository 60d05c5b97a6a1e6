"""What the outbox's disk does not know yet."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice

from monitor.domain import Alert


@dataclass(slots=True)
class Unwritten:
    """Changes that the next transaction writes.

    ``alerts``: those to add, in order, by their identifier and with the time they came at;
    ``removed``: those on the disk that are to go; ``removed_early``: removed while only in
    memory, but on the disk after all if a failed commit was none; ``machines``: those of which
    the state has changed; ``drops``: whether their count has.
    """

    alerts: dict[str, tuple[Alert, float]] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    removed_early: set[str] = field(default_factory=set)
    machines: set[str] = field(default_factory=set)
    drops: bool = False

    def __bool__(self) -> bool:
        return bool(
            self.alerts or self.removed or self.removed_early or self.machines or self.drops
        )

    def put(self, alert: Alert, unix_s: float) -> None:
        """Add an alert at the end."""
        self.alerts[alert.event_id] = (alert, unix_s)

    def remove(self, event_ids: Collection[str]) -> None:
        """Forget alerts, wherever they are."""
        for event_id in event_ids:
            if self.alerts.pop(event_id, None) is None:
                self.removed.add(event_id)
            else:
                self.removed_early.add(event_id)

    def each(self, machine: str | None = None) -> Iterator[Alert]:
        """The alerts to add, of one machine or of all, in order."""
        for alert, _ in self.alerts.values():
            if machine is None or alert.machine == machine:
                yield alert

    def oldest(self, number: int, *, only_updated: bool) -> list[tuple[str, str, str]]:
        """``(event_id, machine, kind)`` of the first alerts to add."""
        found = (alert for alert in self.each() if not only_updated or alert.kind == "updated")
        return [(alert.event_id, alert.machine, alert.kind) for alert in islice(found, number)]
