"""The outbox's memory of what is on the disk, and of what should be and is not yet.

Everything is written through: what the disk does not know is in ``Unwritten``, and
``flush`` tries to bring that to zero in one transaction. While the disk is full,
read-only or broken the queue goes on in memory, and the first ``flush`` that succeeds
writes the lot. A damaged file is put aside and replaced.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from monitor.alerts import Alert, AlertSeries
from monitor.errors import ConfigError
from monitor.outbox.salvage import move_aside, salvage
from monitor.outbox.store import (
    OutboxStore,
    StoredAlert,
    StoreDamagedError,
    StoredMachine,
    StoreError,
    StoreTooNewError,
    is_damage,
    parse_alert,
    to_stored_alert,
    to_stored_machine,
)


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


_log = logging.getLogger(__name__)

_RETRY_S = 1.0
_MAGIC = b"SQLite format 3\0"
_DISK_ERRORS = (sqlite3.Error, StoreError, OSError)


class OutboxDisk:
    """A queue of alerts, the state of machines and the count of drops, written through.

    Not thread-safe: its owner holds a lock. Nothing but ``open`` raises for trouble with
    the disk: ``trouble`` then says in one line why the queue is in memory.
    ``machines`` and ``drops`` are changed by the owner, who says so with ``touch``.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self.machines: dict[str, AlertSeries] = {}
        self.drops: Counter[tuple[str, str]] = Counter()
        self.sequence_floor = 0
        """The last sequence number to assume for a machine that is not in ``machines``."""
        self.trouble = ""
        self.recoveries = 0
        self._path = path
        self._clock = clock
        self._store: OutboxStore | None = None
        self._taken_over = False  # until then the file may know alerts that ``machines`` does not
        self._must_reopen = False
        self._counts: Counter[str] = Counter()
        self._unwritten = Unwritten()
        self._next_try_s = 0.0

    def open(self) -> None:
        """Take over what an earlier process left.

        Raises ``ConfigError`` for a file made by a later version.
        """
        try:
            self._store = OutboxStore.open(self._path)
            self._adopt(self._store)
        except StoreTooNewError as error:
            raise ConfigError(
                f"outbox {self._path}: {error}; use the version that made it"
            ) from error
        except _DISK_ERRORS as error:
            self._failed(error)
            if self.trouble:
                self._open_read_only()

    def close(self) -> None:
        """Write what is left, if the disk takes it, and close the file."""
        self.flush()
        if self._store is not None:
            self._store.close()
            self._store = None

    def touch(self, machine: str) -> None:
        """The state of this machine has changed."""
        self._unwritten.machines.add(machine)

    def put(self, alert: Alert) -> None:
        """Add an alert at the end; on the disk with the next ``flush``."""
        self._unwritten.put(alert, self._clock())

    def remove(self, event_ids: Collection[str], *, dropped: bool = False) -> None:
        """Forget alerts; unknown ids change nothing. ``dropped``: ``drops`` has changed."""
        self._unwritten.remove(event_ids)
        self._unwritten.drops |= dropped

    def flush(self) -> None:
        """Bring the disk up to date, or note in ``trouble`` why not."""
        if not self._unwritten:
            return
        try:
            self._write()
        except _DISK_ERRORS as error:
            self._failed(error)

    def flush_if_due(self) -> None:
        """``flush``, but at most once a second while the disk refuses."""
        if self._unwritten and time.monotonic() >= self._next_try_s:
            self.flush()

    def read(self, limit: int, machine: str | None) -> list[Alert]:
        """The oldest alerts, of one machine or of all, in order."""
        alerts = self._read_stored(limit, machine)
        return [*alerts, *islice(self._unwritten.each(machine), max(0, limit - len(alerts)))]

    def machines_waiting(self) -> list[str]:
        """The machines that have alerts in the queue."""
        names = dict.fromkeys(name for name, number in self._counts.items() if number > 0)
        names |= dict.fromkeys(alert.machine for alert in self._unwritten.each())
        return list(names)

    def depth(self) -> int:
        """How many alerts are in the queue."""
        stored = self._counts.total() - len(self._unwritten.removed)
        return max(0, stored) + self.unwritten()

    def unwritten(self) -> int:
        """How many of them are only in memory."""
        return len(self._unwritten.alerts)

    def oldest(self, number: int, *, only_updated: bool) -> list[tuple[str, str, str]]:
        """``(event_id, machine, kind)`` of the oldest alerts."""
        rows: list[StoredAlert] = []
        if self._store is not None:
            try:
                limit = number + len(self._unwritten.removed)
                rows = self._store.oldest(limit, only_updated=only_updated)
            except _DISK_ERRORS as error:
                self._failed(error)
        found = [(row.event_id, row.machine, row.kind) for row in rows]
        found = [entry for entry in found if entry[0] not in self._unwritten.removed]
        return (found + self._unwritten.oldest(number, only_updated=only_updated))[:number]

    def oldest_unwritten(self, number: int, *, only_updated: bool) -> list[tuple[str, str, str]]:
        """The same of those that are only in memory."""
        return self._unwritten.oldest(number, only_updated=only_updated)

    def appended_before(self, unix_s: float) -> list[tuple[str, str, str]]:
        """The same of those on the disk that are older than a time."""
        if self._store is None:
            return []
        try:
            rows = self._store.appended_before(unix_s)
        except _DISK_ERRORS as error:
            self._failed(error)
            return []
        found = [(row.event_id, row.machine, row.kind) for row in rows]
        return [entry for entry in found if entry[0] not in self._unwritten.removed]

    # reading and writing

    def _read_stored(self, limit: int, machine: str | None) -> list[Alert]:
        if self._store is None:
            return []
        removed = self._unwritten.removed
        try:
            rows = self._store.alerts(limit + len(removed), machine)
            alerts = [parse_alert(row.body) for row in rows if row.event_id not in removed]
            if None in alerts:
                raise StoreDamagedError("a row does not hold an alert")
        except _DISK_ERRORS as error:
            self._failed(error)
            return []
        return [alert for alert in alerts if alert is not None][:limit]

    def _write(self) -> None:
        store = self._writable_store()
        todo = self._unwritten
        with store.transaction():
            removed = Counter(name for name in map(store.machine_of, todo.removed) if name)
            store.delete(todo.removed | todo.removed_early)
            store.insert(to_stored_alert(alert, unix_s) for alert, unix_s in todo.alerts.values())
            store.put_machines(to_stored_machine(m, self.machines[m]) for m in todo.machines)
            if todo.drops:
                store.put_drops(self.drops)
        self._counts.subtract(removed)
        self._counts.update(alert.machine for alert in todo.each())
        self._unwritten = Unwritten()
        if self.trouble:
            self.trouble = ""
            _log.warning("outbox: the disk takes alerts again; all %d are written", self.depth())

    def _writable_store(self) -> OutboxStore:
        lost = not self._path.exists()
        if not lost:
            _check_header(self._path)
        must_open = self._must_reopen or lost or not self._taken_over
        if self._store is not None and self._store.writable and not must_open:
            return self._store
        fresh = self._open_writable()
        if self._store is not None:
            if lost:  # deleted under us: the open file still has its rows
                self._adopt_alerts(self._store.alerts(limit=-1))
            self._store.close()
        self._store, self._must_reopen = fresh, False
        self._unwritten.machines |= set(self.machines)
        self._unwritten.drops = True
        return fresh

    def _open_writable(self) -> OutboxStore:
        """The file as it is now, and what it knows where it could not be read before."""
        fresh = OutboxStore.open(self._path)
        try:
            if self._taken_over:
                self._counts = fresh.counts()
            else:
                self._adopt(fresh)
        except BaseException:
            fresh.close()
            raise
        return fresh

    def _failed(self, error: Exception) -> None:
        """Go on in memory, or with a new file if this one is damaged."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_FULL) & 0xFF
        self._must_reopen |= code not in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY}
        if is_damage(error):
            try:
                self._replace_damaged(error)
            except _DISK_ERRORS as new_error:
                error = new_error
            else:
                return
        reason = f"outbox {self._path}: {error}"
        if reason != self.trouble:
            _log.error("%s; alerts are kept in memory until it can be written", reason)
            self.trouble = reason
        self._unwritten.drops = True  # so that there is something to try again with
        self._next_try_s = time.monotonic() + _RETRY_S

    # taking over

    def _open_read_only(self) -> None:
        """Deliver at least what a disk holds that cannot be written.

        What the last process numbered in memory meanwhile is unknown: numbers jump.
        """
        self.sequence_floor = int(self._clock())
        try:
            self._store = OutboxStore.open_read_only(self._path)
            self._adopt(self._store)
        except _DISK_ERRORS as error:
            _log.error("outbox %s: cannot be read either: %s", self._path, error)

    def _adopt(self, store: OutboxStore) -> None:
        machines, counts, drops = store.machines(), store.counts(), store.drops()
        for row in machines:
            self._adopt_machine(row)
        self._counts = counts
        self.drops.update(drops)  # adds to those of this process
        self._taken_over = True

    def _adopt_machine(self, row: StoredMachine) -> None:
        """What a file knows of a machine; what this process knows better stays.

        A machine that is only watched, from before the file could be read, takes over
        its open alert. One that has had alerts since keeps its own, and no number is
        given twice.
        """
        series = self.machines.setdefault(row.machine, AlertSeries(self.sequence_floor))
        if not self._taken_over and series.last_sequence == self.sequence_floor:
            series.open = parse_alert(row.open_alert)
        series.last_sequence = max(series.last_sequence, int(row.last_sequence))

    def _adopt_alerts(self, rows: list[StoredAlert]) -> int:
        """Put alerts from another file in front of those in memory; how many."""
        saved: dict[str, tuple[Alert, float]] = {}
        removed = self._unwritten.removed | self._unwritten.removed_early
        for row in rows:
            alert = parse_alert(row.body)
            if alert is not None and alert.event_id not in removed:
                saved[alert.event_id] = (alert, row.appended_unix_s)
                series = self.machines.setdefault(alert.machine, AlertSeries(self.sequence_floor))
                series.last_sequence = max(series.last_sequence, alert.sequence)
        self._unwritten.alerts = saved | self._unwritten.alerts
        self._unwritten.removed.clear()
        return len(saved)

    def _replace_damaged(self, error: Exception) -> None:
        """Begin a new file with what is known and what can be saved from the old one."""
        cached: list[StoredAlert] = []
        if self._store is not None:
            with contextlib.suppress(sqlite3.Error):
                cached = self._store.alerts(limit=-1)
            self._store.close()
            self._store = None
        aside = move_aside(self._path)
        machines, alerts = salvage(aside)
        alerts = list({row.event_id: row for row in [*alerts, *cached]}.values())
        if not self.machines:  # damaged before this process knew any number
            self.sequence_floor = int(self._clock())
        for row in machines:
            if isinstance(row.last_sequence, int) and isinstance(row.machine, str):
                self._adopt_machine(row)
        saved = self._adopt_alerts(alerts)
        self._taken_over = True
        self._counts.clear()
        self.recoveries += 1
        _log.error(
            "outbox %s was damaged (%s): moved to %s, %d waiting alerts saved from it",
            *(self._path, error, aside.name, saved),
        )
        self._write()


def _check_header(path: Path) -> None:
    """Raise ``StoreDamagedError`` for a file overwritten under SQLite, which works on from its
    cache and would only notice after a restart."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise StoreDamagedError("its header was overwritten")
