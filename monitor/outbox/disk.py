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
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from monitor.clock import Clock
from monitor.durable import HeldFile, remove_log
from monitor.errors import ConfigError, ServiceUnavailableError
from monitor.folder_lock import FolderLock
from monitor.outbox.memory import OutboxMemory
from monitor.outbox.rows import StoredAlert, to_stored_alert, to_stored_machine
from monitor.outbox.salvage import move_aside, salvage
from monitor.outbox.schema import StoreError, StoreTooNewError, is_damage, reason_of
from monitor.outbox.store import OutboxStore
from monitor.outbox.unwritten import Unwritten

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

_RETRY_S = 1.0
_DISK_ERRORS = (sqlite3.Error, StoreError, OSError, ServiceUnavailableError)


class OutboxDisk:
    """Writes ``memory`` to the disk. ``OutboxReads`` reads alerts from both.

    Not thread-safe: the caller must hold a lock. Only ``open`` raises errors of the disk.
    Otherwise ``trouble`` is set: the reason, in one line, why the queue is in memory.
    ``recoveries``: damaged files replaced since this process started.
    """

    def __init__(self, path: Path, clock: Clock, lock: FolderLock) -> None:
        """``lock``: of the folder of ``path``. Without it, nothing is written."""
        self._lock = lock
        self.memory = OutboxMemory(clock)
        self.trouble = ""
        self.recoveries = 0
        self._path = path
        self._clock = clock
        self._store: OutboxStore | None = None
        self._held: HeldFile | None = None
        """Of the file that ``_store`` writes, and closed after it."""
        self._must_reopen = False
        self._next_try_s = 0.0

    def open(self) -> None:
        """Open the file and read what an earlier process wrote.

        Raises ``ConfigError`` for a file made by a later version.
        """
        try:
            self._store = self._opened()
            self.memory.merge(self._store)
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
        self._close_file()

    def flush(self) -> None:
        """Write all changes, or set ``trouble``."""
        if not self.memory.is_changed():
            return
        try:
            self._write()
        except _DISK_ERRORS as error:
            self._failed(error)

    def flush_if_due(self) -> None:
        """``flush``, but at most once a second while the disk does not accept changes."""
        if self.memory.is_changed() and time.monotonic() >= self._next_try_s:
            self.flush()

    def keep_place(self) -> None:
        """Write to the folder again if it was deleted or replaced."""
        if self._lock.is_lost():
            self.memory.unwritten.drops = True  # so that there is something to write
            self.flush_if_due()

    def query(self, query: Callable[[OutboxStore], list[_T]]) -> list[_T]:
        """What is on the disk; empty if the disk cannot be read."""
        try:
            return [] if self._store is None else query(self._store)
        except _DISK_ERRORS as error:
            self._failed(error)
            return []

    def _write(self) -> None:
        store = self._writable_store()
        memory, todo = self.memory, self.memory.unwritten
        with store.transaction():
            removed = Counter(name for name in map(store.machine_of, todo.removed) if name)
            store.delete(todo.removed | todo.removed_early)
            store.put_boot(self._clock.now())
            store.insert(to_stored_alert(alert, moment) for alert, moment in todo.alerts.values())
            store.put_machines(
                to_stored_machine(name, memory.machines[name], memory.dated(name))
                for name in todo.machines
            )
            if todo.drops:
                store.put_drops(memory.drops)
            memory.unrecorded.write(store)
        memory.unrecorded.written(store)
        memory.stored.subtract(removed)
        memory.stored.update(alert.machine for alert in todo.added())
        memory.unwritten = Unwritten()
        if self.trouble:
            self.trouble = ""
            _log.warning(
                "outbox: the disk accepts alerts again; all are written",
                extra={"alerts_waiting": memory.depth()},
            )

    def _writable_store(self) -> OutboxStore:
        if self._lock.is_lost():
            self._lock.take_again()
        if self._store is not None:
            self._check_place(self._store)
        if self._store is not None:
            if self._held is not None:
                self._held.check_header()
            if self._store.writable and not self._must_reopen and self.memory.has_read:
                return self._store
        self._store = self._reopened(self._store)
        self._must_reopen = False
        self.memory.unwritten.machines |= set(self.memory.machines)
        self.memory.unwritten.drops = True
        return self._store

    def _check_place(self, store: OutboxStore) -> None:
        """Leave a file that another program has deleted or replaced: it still has its rows.

        SQLite finds the index of the log by its name, so a new file must not be opened before.
        """
        if self._held.is_at(self._path) if self._held is not None else self._path.exists():
            return
        _log.warning("outbox %s was deleted or replaced: its alerts are written again", self._path)
        self.memory.merge_alerts(store.alerts(limit=-1))
        self.memory.unrecorded.merge(store.unrecorded(-1))
        self.memory.stored.clear()
        self._close_file()
        remove_log(self._path)

    def _reopened(self, before: OutboxStore | None) -> OutboxStore:
        """The file, opened for writing, in place of ``before``; this stays if that fails."""
        if before is None or before.writable:
            fresh = self._open_writable()
            if before is not None:
                before.close()
            return fresh
        before.close()  # first: SQLite may have opened it without locks, and would end the new ones
        self._store = None
        try:
            return self._open_writable()
        except BaseException:
            with contextlib.suppress(*_DISK_ERRORS):
                self._store = OutboxStore.open_read_only(self._path)
            raise

    def _opened(self) -> OutboxStore:
        store = OutboxStore.open(self._path)
        try:
            self._held = self._held or HeldFile(self._path)
        except OSError:
            store.close()
            raise
        return store

    def _close_file(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
        if self._held is not None:
            self._held.close()
            self._held = None

    def _open_writable(self) -> OutboxStore:
        """Open the file, and read it if that was not possible before."""
        fresh = self._opened()
        try:
            if self.memory.has_read:
                self.memory.stored = fresh.counts()
                self.memory.unrecorded.stored = len(fresh.unrecorded(-1))
            else:
                self.memory.merge(fresh)
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
        reason = f"outbox {self._path}: {reason_of(error, self._path)}"
        if reason != self.trouble:
            _log.error("%s; alerts are kept in memory until the disk accepts them", reason)
            self.trouble = reason
        self.memory.unwritten.drops = True  # so that the next flush tries again
        self._next_try_s = time.monotonic() + _RETRY_S

    def _open_read_only(self) -> None:
        """Deliver at least the alerts on a disk that cannot be written.

        The numbers that the last process gave in memory are unknown.
        """
        self.memory.assume_sequence()
        try:
            if not self._path.is_file():  # a FIFO would never be open
                return
            self._store = OutboxStore.open_read_only(self._path)
            self.memory.merge(self._store)
        except _DISK_ERRORS as error:
            _log.error("outbox %s: cannot be read: %s", self._path, reason_of(error, self._path))

    def _replace_damaged(self, error: Exception) -> None:
        """Start a new file with what is in memory and what can be read from the damaged one."""
        memory = self.memory
        cached: list[StoredAlert] = []
        cached_unrecorded: list[StoredAlert] = []
        if self._store is not None:
            with contextlib.suppress(sqlite3.Error):
                cached = self._store.alerts(limit=-1)
                cached_unrecorded = self._store.unrecorded(-1)
        self._close_file()
        aside = move_aside(self._path)
        machines, alerts, unrecorded = salvage(aside)
        alerts = list({row.event_id: row for row in [*alerts, *cached]}.values())
        if not memory.machines:  # damaged before this process read any number
            memory.assume_sequence()
        for row in machines:
            if isinstance(row.last_sequence, int) and isinstance(row.machine, str):
                memory.merge_machine(row)
        saved = memory.merge_alerts(alerts)
        memory.unrecorded.merge([*unrecorded, *cached_unrecorded])
        memory.has_read = True
        memory.stored.clear()
        self.recoveries += 1
        _log.error(
            "outbox %s was damaged (%s): renamed to %s; waiting alerts read from it: %d",
            *(self._path, error, aside.name, saved),
        )
        self._write()
