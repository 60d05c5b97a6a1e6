"""The outbox on the disk, and in memory while the disk cannot be written.

Every change is written at once. Changes that are not on the disk yet are in
``Unwritten``, and ``flush`` writes them in one transaction. While the disk is full,
read-only or broken, the queue continues in memory, and the first ``flush`` that succeeds
writes all of it. A damaged file is renamed and replaced.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection
from itertools import islice
from pathlib import Path

from monitor.alerts import Alert, AlertSeries, dated_until, redated
from monitor.clock import Clock, Moment
from monitor.errors import ConfigError
from monitor.outbox.rows import (
    StoredAlert,
    StoredMachine,
    to_stored_alert,
    to_stored_machine,
)
from monitor.outbox.salvage import check_header, move_aside, salvage
from monitor.outbox.schema import StoreDamagedError, StoreError, StoreTooNewError, is_damage
from monitor.outbox.store import OutboxStore
from monitor.outbox.unwritten import AlertKey, Unwritten

_log = logging.getLogger(__name__)

_RETRY_S = 1.0
_DISK_ERRORS = (sqlite3.Error, StoreError, OSError)


class OutboxDisk:
    """The queue of alerts, the series of each machine, and the count of dropped alerts.

    Not thread-safe: the caller must hold a lock. Only ``open`` raises errors of the disk.
    Otherwise ``trouble`` is set: the reason, in one line, why the queue is in memory. The
    caller changes ``machines`` and ``drops``, and reports it with ``touch`` and ``remove``.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.machines: dict[str, AlertSeries] = {}
        self.drops: Counter[tuple[str, str]] = Counter()
        self.assumed_sequence = 0
        """The last sequence number to assume for a machine that is not in ``machines``."""
        self.trouble = ""
        self.recoveries = 0
        self._path = path
        self._clock = clock
        self._store: OutboxStore | None = None
        self._taken_over = False  # before, the file may have alerts that ``machines`` does not have
        self._must_reopen = False
        self._counts: Counter[str] = Counter()
        self._unwritten = Unwritten()
        self._next_try_s = 0.0
        self._dated: dict[str, Moment] = {}
        """When the open alert of each machine got its times."""

    def open(self) -> None:
        """Open the file and read what an earlier process wrote.

        Raises ``ConfigError`` for a file made by a later version.
        """
        try:
            self._store = OutboxStore.open(self._path)
            self._merge(self._store)
        except StoreTooNewError as error:
            raise ConfigError(
                f"outbox {self._path}: {error}; use the newer program that wrote it"
            ) from error
        except _DISK_ERRORS as error:
            self._failed(error)
            if self.trouble:
                self._open_read_only()

    def close(self) -> None:
        """Write the changes that are left, if the disk accepts them, and close the file."""
        self.flush()
        if self._store is not None:
            self._store.close()
            self._store = None

    def touch(self, machine: str) -> None:
        """The series of this machine has changed, and its open alert has the time of now."""
        self._dated[machine] = self._clock.now()
        self._unwritten.machines.add(machine)

    def correct_times(self, machine: str) -> None:
        """Move the times of an open alert if the system clock was set since it got them."""
        series, dated = self.machines.get(machine), self._dated.get(machine)
        if series is None or series.open is None or dated is None:
            return
        set_by_s = self._clock.set_since_s(dated)
        if set_by_s:
            series.open = redated(series.open, set_by_s)
            self.touch(machine)

    def put(self, alert: Alert) -> None:
        """Add an alert at the end; on the disk with the next ``flush``."""
        self._unwritten.put(alert, self._clock.now())

    def remove(self, event_ids: Collection[str], *, dropped: bool = False) -> None:
        """Remove alerts; unknown ids change nothing. ``dropped``: ``drops`` has changed."""
        self._unwritten.remove(event_ids)
        self._unwritten.drops |= dropped

    def flush(self) -> None:
        """Write all changes, or set ``trouble``."""
        if not self._unwritten:
            return
        try:
            self._write()
        except _DISK_ERRORS as error:
            self._failed(error)

    def flush_if_due(self) -> None:
        """``flush``, but at most once a second while the disk does not accept changes."""
        if self._unwritten and time.monotonic() >= self._next_try_s:
            self.flush()

    def read(self, limit: int, machine: str | None) -> list[Alert]:
        """The oldest alerts, of one machine or of all, in order."""
        alerts = self._read_stored(limit, machine)
        added = islice(self._unwritten.added(machine), max(0, limit - len(alerts)))
        moments = self._unwritten.alerts
        return [*alerts, *(self._corrected(one, moments[one.event_id][1]) for one in added)]

    def machines_waiting(self) -> list[str]:
        """The machines that have alerts in the queue."""
        names = dict.fromkeys(name for name, number in self._counts.items() if number > 0)
        names |= dict.fromkeys(alert.machine for alert in self._unwritten.added())
        return list(names)

    def depth(self) -> int:
        """How many alerts are in the queue."""
        stored = self._counts.total() - len(self._unwritten.removed)
        return max(0, stored) + self.unwritten()

    def unwritten(self) -> int:
        """How many of them are only in memory."""
        return len(self._unwritten.alerts)

    def oldest(self, number: int, *, only_updated: bool) -> list[AlertKey]:
        """The oldest alerts."""
        limit = number + len(self._unwritten.removed)
        stored = self._stored(lambda store: store.oldest(limit, only_updated=only_updated))
        return (stored + self._unwritten.oldest(number, only_updated=only_updated))[:number]

    def oldest_unwritten(self, number: int, *, only_updated: bool) -> list[AlertKey]:
        """The oldest alerts that are only in memory."""
        return self._unwritten.oldest(number, only_updated=only_updated)

    def older_than(self, age_s: float) -> list[AlertKey]:
        """The alerts of earlier boots that are older than ``age_s``."""
        now = self._clock.now()
        return self._stored(lambda store: store.older_than(age_s, now) if store.writable else [])

    def _corrected(self, alert: Alert, appended: Moment) -> Alert:
        """The alert with its times moved, if the system clock was set since it was added.

        The clock may also have been set before a reboot, or by less than counts as a step.
        """
        set_by_s = self._clock.set_since_s(appended)
        moved = redated(alert, set_by_s) if set_by_s else alert
        return dated_until(moved, self._clock.unix_s())

    def _stored(self, query: Callable[[OutboxStore], list[StoredAlert]]) -> list[AlertKey]:
        """Alerts on the disk that are not removed; empty if the disk cannot be read."""
        if self._store is None:
            return []
        try:
            rows = query(self._store)
        except _DISK_ERRORS as error:
            self._failed(error)
            return []
        found = [(row.event_id, row.machine, row.kind) for row in rows]
        return [key for key in found if key[0] not in self._unwritten.removed]

    # Reading and writing.

    def _read_stored(self, limit: int, machine: str | None) -> list[Alert]:
        if self._store is None:
            return []
        removed = self._unwritten.removed
        try:
            rows = self._store.alerts(limit + len(removed), machine)
            alerts: list[Alert] = []
            for row in rows:
                if row.event_id in removed:
                    continue
                alert = row.alert
                if alert is None:
                    raise StoreDamagedError("a row is not an alert")
                alerts.append(self._corrected(alert, row.appended))
        except _DISK_ERRORS as error:
            self._failed(error)
            return []
        return alerts[:limit]

    def _write(self) -> None:
        store = self._writable_store()
        todo = self._unwritten
        with store.transaction():
            removed = Counter(name for name in map(store.machine_of, todo.removed) if name)
            store.delete(todo.removed | todo.removed_early)
            store.put_boot(self._clock.now())
            store.insert(to_stored_alert(alert, moment) for alert, moment in todo.alerts.values())
            store.put_machines(
                to_stored_machine(name, self.machines[name], self._moment_of(name))
                for name in todo.machines
            )
            if todo.drops:
                store.put_drops(self.drops)
        self._counts.subtract(removed)
        self._counts.update(alert.machine for alert in todo.added())
        self._unwritten = Unwritten()
        if self.trouble:
            self.trouble = ""
            _log.warning(
                "outbox: the disk accepts alerts again; all are written",
                extra={"alerts_waiting": self.depth()},
            )

    def _moment_of(self, machine: str) -> Moment:
        return self._dated.get(machine) or self._clock.now()

    def _writable_store(self) -> OutboxStore:
        lost = not self._path.exists()
        if not lost:
            check_header(self._path)
        must_open = self._must_reopen or lost or not self._taken_over
        if self._store is not None and self._store.writable and not must_open:
            return self._store
        fresh = self._open_writable()
        if self._store is not None:
            if lost:  # deleted while open: the open file still has its rows
                self._merge_alerts(self._store.alerts(limit=-1))
            self._store.close()
        self._store, self._must_reopen = fresh, False
        self._unwritten.machines |= set(self.machines)
        self._unwritten.drops = True
        return fresh

    def _open_writable(self) -> OutboxStore:
        """Open the file, and read it if that was not possible before."""
        fresh = OutboxStore.open(self._path)
        try:
            if self._taken_over:
                self._counts = fresh.counts()
            else:
                self._merge(fresh)
        except BaseException:
            fresh.close()
            raise
        return fresh

    def _failed(self, error: Exception) -> None:
        """Continue in memory, or with a new file if this one is damaged."""
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
            _log.error("%s; alerts are kept in memory until the disk accepts them", reason)
            self.trouble = reason
        self._unwritten.drops = True  # so that the next flush tries again
        self._next_try_s = time.monotonic() + _RETRY_S

    # Reading another file.

    def _open_read_only(self) -> None:
        """Deliver at least the alerts on a disk that cannot be written.

        The numbers that the last process gave in memory are unknown, so they continue
        from the Unix time.
        """
        self.assumed_sequence = int(self._clock.unix_s())
        try:
            self._store = OutboxStore.open_read_only(self._path)
            self._merge(self._store)
        except _DISK_ERRORS as error:
            _log.error("outbox %s: cannot be read: %s", self._path, error)

    def _merge(self, store: OutboxStore) -> None:
        machines, counts, drops = store.machines(), store.counts(), store.drops()
        for row in machines:
            self._merge_machine(row)
        if store.writable:
            store.adopt_undated(self._clock.now())
        self._counts = counts
        self.drops.update(drops)  # adds to those of this process
        self._taken_over = True

    def _merge_machine(self, row: StoredMachine) -> None:
        """Merge the stored series of a machine with that of this process.

        A machine without alerts in this process gets the stored open alert. Otherwise
        its own is kept. No number is given twice.
        """
        series = self.machines.setdefault(row.machine, AlertSeries(self.assumed_sequence))
        if not self._taken_over and series.last_sequence == self.assumed_sequence:
            series.open = row.alert
            self._dated[row.machine] = row.dated
        series.last_sequence = max(series.last_sequence, int(row.last_sequence))

    def _merge_alerts(self, rows: list[StoredAlert]) -> int:
        """Put the alerts of another file in front of those in memory; returns their number."""
        saved: dict[str, tuple[Alert, Moment]] = {}
        removed = self._unwritten.removed | self._unwritten.removed_early
        for row in rows:
            alert = row.alert
            if alert is not None and alert.event_id not in removed:
                saved[alert.event_id] = (alert, row.appended)
                series = self.machines.setdefault(alert.machine, AlertSeries(self.assumed_sequence))
                series.last_sequence = max(series.last_sequence, alert.sequence)
        self._unwritten.alerts = saved | self._unwritten.alerts
        self._unwritten.removed.clear()
        return len(saved)

    def _replace_damaged(self, error: Exception) -> None:
        """Start a new file with what is in memory and what can be read from the damaged one."""
        cached: list[StoredAlert] = []
        if self._store is not None:
            with contextlib.suppress(sqlite3.Error):
                cached = self._store.alerts(limit=-1)
            self._store.close()
            self._store = None
        aside = move_aside(self._path)
        machines, alerts = salvage(aside)
        alerts = list({row.event_id: row for row in [*alerts, *cached]}.values())
        if not self.machines:  # damaged before this process read any number
            self.assumed_sequence = int(self._clock.unix_s())
        for row in machines:
            if isinstance(row.last_sequence, int) and isinstance(row.machine, str):
                self._merge_machine(row)
        saved = self._merge_alerts(alerts)
        self._taken_over = True
        self._counts.clear()
        self.recoveries += 1
        _log.error(
            "outbox %s was damaged (%s): renamed to %s; waiting alerts read from it: %d",
            *(self._path, error, aside.name, saved),
        )
        self._write()
