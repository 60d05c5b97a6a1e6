"""Alerts that the broker has and that are not recorded elsewhere yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import ClassVar

from monitor.alerts import Alert
from monitor.clock import Moment
from monitor.outbox.rows import StoredAlert, to_stored_alert
from monitor.outbox.store import OutboxStore


class Unrecorded:
    """How many there are on the disk, and the changes that the next transaction writes.

    Not thread-safe: the caller must hold a lock. ``added``: in order, by ``event_id``, each with
    the moment when it was added to the outbox. ``removed``: alerts on the disk to delete.
    ``stored``: how many the file has. ``n_dropped``: how many were dropped because there were too
    many, since this process started.
    """

    MOST: ClassVar[int] = 500
    """They fit into the space that the file has reserved for the time of a full disk."""

    def __init__(self) -> None:
        self.added: dict[str, tuple[Alert, Moment]] = {}
        self.removed: set[str] = set()
        self.stored = 0
        self.n_dropped = 0

    def __len__(self) -> int:
        return max(0, self.stored - len(self.removed)) + len(self.added)

    @property
    def is_changed(self) -> bool:
        """Whether there is something to write."""
        return bool(self.added or self.removed)

    def put(self, alert: Alert, appended: Moment) -> None:
        """Add an alert at the end."""
        self.added[alert.event_id] = alert, appended

    def remove(self, event_ids: Collection[str]) -> None:
        """Remove alerts, on the disk or not yet."""
        for event_id in event_ids:
            if self.added.pop(event_id, None) is None:
                self.removed.add(event_id)

    def merge(self, rows: Iterable[StoredAlert]) -> None:
        """Put the alerts of a file that is given up in front of those in memory."""
        saved = {
            row.event_id: (alert, row.appended)
            for row in rows
            if row.event_id not in self.removed and (alert := row.alert) is not None
        }
        self.added = saved | self.added
        self.removed.clear()
        self.stored = 0

    def write(self, store: OutboxStore) -> None:
        """Write the changes, within a transaction of the caller."""
        store.delete_unrecorded(self.removed)
        store.insert_unrecorded(to_stored_alert(*one) for one in self.added.values())

    def written(self, store: OutboxStore) -> None:
        """The transaction has succeeded."""
        if self.is_changed:
            self.added, self.removed = {}, set()
            self.stored = len(store.unrecorded(-1))

    def excess(self, stored: Iterable[StoredAlert]) -> list[str]:
        """What must be dropped, if there are too many: the oldest ``updated`` first.

        ``stored``: those on the disk, in order.
        """
        number = len(self) - self.MOST
        known = [(row.event_id, row.kind) for row in stored if row.event_id not in self.removed]
        known += [(name, alert.kind) for name, (alert, _) in self.added.items()]
        updated = [name for name, kind in known if kind == "updated"]
        others = [name for name, kind in known if kind != "updated"]
        return [*updated, *others][: max(0, number)]
