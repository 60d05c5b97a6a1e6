"""The file of the history: opened when it is needed, replaced when it is damaged, kept small."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from monitor.clock import Clock, StepWatch
from monitor.durable import LOG_SUFFIXES, is_damaged, remove_log
from monitor.errors import BadInputError, MissingInputError
from monitor.history.pending import Batch
from monitor.history.retention import Limits, Retention
from monitor.history.salvage import (
    finish_move,
    keep_damaged,
    move_aside,
    salvage_path,
    salvaged_events,
    salvaged_tallies,
)
from monitor.history.space import space_at
from monitor.history.store import HistoryStore

log = logging.getLogger(__name__)


class HistoryFile:
    """Used by one thread, except ``to_read``; ``limits`` and ``monitored`` may be set by any.

    It is the only one in its process that opens the file, with one connection. SQLite finds the
    index of the log by its name: a connection to another file of the same name, such as a damaged
    one that is renamed at this moment, would cut the index in the memory of this one, and the next
    access would end the process (SIGBUS).

    ``monitored``: the machines that are monitored. ``upkeep_due_s``: when to call ``upkeep``, by
    the monotonic clock. ``n_begun``: how often a new file was begun. ``n_damaged``: how often a
    damaged one was renamed.
    """

    UPKEEP_S: ClassVar[float] = 3600.0
    CHECK_S: ClassVar[float] = 60.0
    """How often a part of the values is read again, to find a damaged page: a full year of one
    machine in five hours, a file of 500 MB in two days."""
    FILL_S: ClassVar[float] = 1.0
    """How often a part of the quarters is made for a file of an earlier version."""
    TRUSTED_AFTER_S: ClassVar[float] = 6 * 3600.0
    """Nothing is deleted for its age before the system clock was right for this time: a clock that
    is set years ahead for a moment would delete everything."""

    def __init__(self, path: Path, limits: Limits, clock: Clock) -> None:
        self.limits = limits
        self.monitored: frozenset[str] = frozenset()
        self.upkeep_due_s = float("inf")
        self.n_begun = 0
        self.n_damaged = 0
        self._path = path
        self._clock = clock
        self._steps = StepWatch(clock)
        self._set_s = clock.steady_s()
        """When the clock was set last, by the steady clock."""
        self._expiry_due_s = 0.0
        self._check_due_s = 0.0
        self._store: HistoryStore | None = None
        self._last_position = 0
        self._guard = threading.RLock()
        """Held while the connection is used, made or closed."""

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            if self._store is not None:
                self._store.close()
                self._store = None
            self.upkeep_due_s = float("inf")

    @contextlib.contextmanager
    def to_read(self) -> Iterator[sqlite3.Connection]:
        """The open file, for the time of the block; nothing is written meanwhile. For any thread.

        Raises ``MissingInputError`` if there is none, and ``BadInputError`` if it cannot be read,
        also for a ``sqlite3.Error`` in the block.
        """
        with self._guard:
            try:
                if not self._path.exists():
                    raise MissingInputError(f"history {self._path}: does not exist")
                yield self._opened().connection
            except (sqlite3.Error, OSError) as error:
                raise BadInputError(f"history {self._path}: {error}") from error

    def write(self, batch: Batch) -> tuple[Batch, str]:
        """Write what the disk has space for. Returns the rest, and why there is one.

        Raises ``sqlite3.Error`` and ``OSError``; then nothing was written.
        """
        if not batch:
            return batch, ""
        with self._guard:
            return self._write(batch)

    def _write(self, batch: Batch) -> tuple[Batch, str]:
        store = self._opened()
        space = space_at(self._path.parent)
        for_alerts, others = batch.split()
        if not space.for_alerts:
            return batch, space.trouble
        written = batch if space.for_all else for_alerts
        store.write(written.minutes, written.events, durable=bool(written.events))
        if written.events:
            self._last_position = store.last_position()
        self.upkeep_due_s = 0.0
        return (Batch(), "") if space.for_all else (others, space.trouble)

    def upkeep(self) -> None:
        """Delete a part of what is too much or too old, and look for damage in a part.

        Raises ``sqlite3.Error``.
        """
        with self._guard:
            if self._store is not None and time.monotonic() >= self.upkeep_due_s:
                self._upkeep(self._store)

    def _upkeep(self, store: HistoryStore) -> None:
        has_more = store.shrink(self.limits) or self._expire(store)
        if time.monotonic() >= self._check_due_s:
            self._check_due_s = time.monotonic() + self.CHECK_S
            store.check_tallies()
        self.upkeep_due_s = 0.0 if has_more else min(self._expiry_due_s, self._check_due_s)
        if not has_more and space_at(self._path.parent).for_all and store.fill():
            self.upkeep_due_s = min(self.upkeep_due_s, time.monotonic() + self.FILL_S)

    def replaced(self, error: Exception) -> bool:
        """Close the file after an error of the disk; whether a new one takes its place."""
        with self._guard:
            return self._replaced(error)

    def _replaced(self, error: Exception) -> bool:
        self.close()
        if not is_damaged(error):
            return False
        log.error("history %s is damaged (%s)", self._path, error)
        try:
            move_aside(self._path)
        except OSError:
            return False
        self.n_damaged += 1
        with contextlib.suppress(sqlite3.Error, OSError):  # the next write tries it again
            self._opened()
        return True

    def _opened(self) -> HistoryStore:
        if self._store is not None and self._store.is_in_place():
            self._store.check_header()
            self._check_log(self._store)
            return self._store
        if self._store is not None:  # another program has deleted or replaced the file
            log.warning("history %s was deleted or replaced by another program", self._path)
            self.close()
            remove_log(self._path)
        finish_move(self._path)
        self._store = store = HistoryStore(self._path)
        self.upkeep_due_s = self._expiry_due_s = self._check_due_s = 0.0
        if store.is_new or salvage_path(self._path).exists():
            try:
                self._begin(store)
            except BaseException:
                self.close()
                if store.is_new:
                    self._path.unlink(missing_ok=True)  # it begins with the next attempt
                raise
        self._last_position = store.last_position()
        return store

    def _begin(self, store: HistoryStore) -> None:
        """Begin a new file, with what a damaged one still has; after a kill, continue to do so."""
        damaged = salvage_path(self._path)
        has_damaged = damaged.exists()
        if has_damaged:
            number = n_rows = n_quarters = 0
            for events in salvaged_events(damaged):
                store.write({}, events, durable=False)
                number += len(events)
            for table, machine, rows in salvaged_tallies(damaged):
                if not space_at(self._path.parent).for_all:
                    break
                store.restore(table, machine, rows)
                n_rows += len(rows)
                n_quarters += len(rows) if table == "quarters" else 0
            if not n_quarters:  # it was a file of an earlier version
                store.fill_all()
            log.error(
                "history %s: begins again; read from the damaged one: %d events, %d rows of values",
                *(self._path, number, n_rows),
            )
        # Readers keep positions: new ones are above all that were ever given, or far below them if
        # the clock was set back. In milliseconds, no file has as many events as it is old.
        now = int(self._clock.unix_s() * 1000.0)
        store.begin_positions_at(max(store.last_position(), self._last_position, now))
        if has_damaged:
            keep_damaged(self._path)
        self.n_begun += 1

    def _check_log(self, store: HistoryStore) -> None:
        """Raise ``OSError`` if a reader keeps the log from being emptied."""
        log_path = self._path.with_name(self._path.name + "-wal")
        most_bytes = 2.0 * Retention.log_bytes(self.limits)
        if _bytes_of(log_path) > most_bytes:
            store.cut_log()
            if _bytes_of(log_path) > most_bytes:
                raise OSError(f"{log_path.name} is too large: a program does not stop reading it")

    def _expire(self, store: HistoryStore) -> bool:
        if time.monotonic() < self._expiry_due_s:
            return False
        now_s = self._clock.steady_s()
        if self._steps.step_s():
            self._set_s = now_s
        is_trusted = now_s - self._set_s >= self.TRUSTED_AFTER_S
        if is_trusted and store.expire(self.limits, self._clock.unix_s(), self.monitored):
            return True
        store.check()
        self._expiry_due_s = time.monotonic() + self.UPKEEP_S
        return False


def database_bytes(path: Path) -> int:
    """The size of a database, its log and the index of the log; 0 for one that does not exist."""
    return sum(_bytes_of(path.with_name(path.name + suffix)) for suffix in ("", *LOG_SUFFIXES))


def _bytes_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
