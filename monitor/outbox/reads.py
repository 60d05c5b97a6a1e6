"""Alerts of the outbox, read from the disk and from what is not on it yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from monitor.alerts import Alert
from monitor.clock import Clock
from monitor.outbox.disk import OutboxDisk
from monitor.outbox.rows import StoredAlert
from monitor.outbox.schema import StoreDamagedError
from monitor.outbox.store import OutboxStore
from monitor.outbox.unwritten import AlertKey


class OutboxReads:
    """Not thread-safe: the caller must hold a lock. No method raises errors of the disk."""

    def __init__(self, disk: OutboxDisk, clock: Clock) -> None:
        self._memory = disk.memory
        self._query = disk.query
        self._clock = clock

    def read(self, limit: int, machine: str | None) -> list[Alert]:
        """The oldest alerts, of one machine or of all, in order."""
        most = limit + len(self._memory.unwritten.removed)
        alerts = self._query(
            lambda store: [self._alert(row) for row in self._kept(store.alerts(most, machine))]
        )[:limit]
        unwritten = self._memory.unwritten
        added = islice(unwritten.added(machine), max(0, limit - len(alerts)))
        moments = unwritten.alerts
        return [*alerts, *(self._memory.corrected(one, moments[one.event_id][1]) for one in added)]

    def after(self, position: int, limit: int) -> tuple[list[Alert], int]:
        """The next alerts on the disk in order, and where to go on; 0 if these are the last."""
        found = self._query(lambda store: [store.alerts_after(position, limit)])
        rows, last = found[0] if found else ([], 0)
        return self._query(lambda _: [self._alert(row) for row in self._kept(rows)]), last

    def keep_unrecorded(self, event_id: str) -> None:
        """Add an alert to those that were delivered and are not recorded."""
        memory = self._memory
        if (added := memory.unwritten.alerts.get(event_id)) is not None:
            memory.unrecorded.put(*added)
            return
        for row in self._query(lambda store: [store.alert(event_id)]):
            if row is not None and row.alert is not None and self._kept([row]):
                memory.unrecorded.put(row.alert, row.appended)

    def unrecorded(self, limit: int) -> list[Alert]:
        """The oldest alerts that were delivered and are not recorded, in order."""
        unrecorded = self._memory.unrecorded
        most = limit + len(unrecorded.removed)
        stored = self._query(
            lambda store: [
                self._alert(row)
                for row in store.unrecorded(most)
                if row.event_id not in unrecorded.removed
            ]
        )
        added = (self._memory.corrected(*one) for one in unrecorded.added.values())
        return [*stored, *added][:limit]

    def excess_unrecorded(self) -> list[str]:
        """The alerts to drop because too many are not recorded."""
        unrecorded = self._memory.unrecorded
        if len(unrecorded) <= unrecorded.MOST:
            return []
        return unrecorded.excess(self._query(lambda store: store.unrecorded(-1)))

    def oldest(self, number: int, *, only_updated: bool) -> list[AlertKey]:
        """The oldest alerts."""
        most = number + len(self._memory.unwritten.removed)
        stored = self._keys(lambda store: store.oldest(most, only_updated=only_updated))
        return (stored + self._memory.unwritten.oldest(number, only_updated=only_updated))[:number]

    def older_than(self, age_s: float) -> list[AlertKey]:
        """The alerts of earlier boots that are older than ``age_s``."""
        now = self._clock.now()
        return self._keys(lambda store: store.older_than(age_s, now) if store.writable else [])

    def _keys(self, rows: Callable[[OutboxStore], Iterable[StoredAlert]]) -> list[AlertKey]:
        kept = self._query(lambda store: self._kept(rows(store)))
        return [(row.event_id, row.machine, row.kind) for row in kept]

    def _kept(self, rows: Iterable[StoredAlert]) -> list[StoredAlert]:
        """The alerts that are not removed."""
        return [row for row in rows if row.event_id not in self._memory.unwritten.removed]

    def _alert(self, row: StoredAlert) -> Alert:
        if (alert := row.alert) is None:
            raise StoreDamagedError("a row is not an alert")
        return self._memory.corrected(alert, row.appended)
