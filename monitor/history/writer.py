"""Writes the history in a thread of its own, so that no disk slows the monitoring."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.durable import is_damaged
from monitor.history.pending import Batch, Pending
from monitor.history.records import Event
from monitor.history.store import HistoryStore
from monitor.history.tally import Tally

log = logging.getLogger(__name__)

_DISK_ERRORS = (sqlite3.Error, OSError)


@dataclass(frozen=True, slots=True)
class HistoryHealth:
    """``trouble``: why the history is only in memory, in one line; empty if it is written.

    ``n_waiting``: values and events that are not written yet. ``n_lost``: those that were lost
    since this process started, because the disk did not accept them in time. ``n_bytes``: of the
    file and its log.
    """

    trouble: str
    n_waiting: int
    n_lost: int
    n_bytes: int


class HistoryWriter:
    """The one writer of a history. Every method may be called from any thread.

    No method waits for the disk, except ``close`` and ``is_written``, and none raises an error of
    the disk. What cannot be written stays in memory, up to a limit, and is written later. A damaged
    file is renamed and replaced.
    """

    RETRY_S: ClassVar[float] = 5.0
    COLLECT_S: ClassVar[float] = 2.0
    """How long minutes wait for those of other machines, which are complete at the same time."""

    def __init__(self, path: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self.path = path
        self._clock = clock
        self._changed = threading.Condition()
        self._pending = Pending()
        self._writing: Batch | None = None
        self._trouble = ""
        self._next_try_s = 0.0
        self._is_closing = False
        self._store: HistoryStore | None = None
        self._last_position = 0
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    def add_minute(self, machine: str, minute: int, tally: Tally) -> None:
        """Add values to those of a minute (Unix time // 60)."""
        with self._changed:
            self._pending.add_minute(machine, minute, tally)
            self._changed.notify_all()

    def add_event(self, event: Event) -> None:
        """Add an event. One with an ``event_id`` that exists is not written again."""
        with self._changed:
            self._pending.add_event(event)
            self._changed.notify_all()

    def is_written(self, event_id: str, timeout_s: float) -> bool:
        """Whether an event is on the disk; waits for it, but not while the disk has trouble."""
        with self._changed:
            self._changed.wait_for(
                lambda: bool(self._trouble) or not self._is_waiting(event_id), timeout_s
            )
            return not self._is_waiting(event_id)

    def health(self) -> HistoryHealth:
        """The condition of the history."""
        with self._changed:
            n_writing = len(self._writing) if self._writing is not None else 0
            return HistoryHealth(
                self._trouble,
                len(self._pending) + n_writing,
                self._pending.n_lost,
                file_bytes(self.path),
            )

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what waits, if the disk accepts it in time, and end."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("history %s: was not closed within %g s", self.path, timeout_s)

    def _is_waiting(self, event_id: str) -> bool:
        writing = self._writing
        return self._pending.has_event(event_id) or (
            writing is not None and writing.has_event(event_id)
        )

    # The thread.

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._is_due():
                    self._changed.wait(self._wait_s())
                is_closing = self._is_closing
                self._writing = batch = self._pending.take()
            self._write(batch)
            if is_closing:
                if self._store is not None:
                    self._store.close()
                return

    def _is_due(self) -> bool:
        if self._is_closing:
            return True
        now_s = time.monotonic()
        due_s = self._pending.due_s(self.COLLECT_S)
        return due_s is not None and now_s >= max(due_s, self._next_try_s)

    def _wait_s(self) -> float | None:
        """How long to wait if nothing is added."""
        due_s = self._pending.due_s(self.COLLECT_S)
        return None if due_s is None else max(0.0, max(due_s, self._next_try_s) - time.monotonic())

    def _write(self, batch: Batch) -> None:
        error: Exception | None = None
        try:
            if batch:
                self._opened().write(batch.minutes, batch.events, durable=bool(batch.events))
        except _DISK_ERRORS as found:
            error = found
        except Exception as found:  # a bug here must not end the history
            log.exception("internal error while writing the history")
            error = found
        if error is not None:
            self._failed(error)
        with self._changed:
            self._writing = None
            if error is not None:
                self._pending.put_back(batch)
            elif self._trouble:
                log.warning("history %s: the disk accepts it again", self.path)
                self._trouble = ""
            self._changed.notify_all()

    def _opened(self) -> HistoryStore:
        if self._store is not None and self.path.exists():
            return self._store
        self._disconnect()
        store = HistoryStore(self.path)
        if store.is_new:
            # Readers keep positions: those of a new file are above those of the file before.
            store.begin_positions_at(max(int(self._clock.unix_s()), self._last_position))
        self._store = store
        return store

    def _failed(self, error: Exception) -> None:
        self._disconnect()
        self._next_try_s = time.monotonic() + self.RETRY_S
        if is_damaged(error):
            move_aside(self.path)
            self._next_try_s = 0.0
        reason = f"{error}" or repr(error)
        with self._changed:
            is_new, self._trouble = reason != self._trouble, reason
        if is_new:
            log.error(
                "history %s: %s; it is kept in memory until the disk accepts it", self.path, reason
            )

    def _disconnect(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None


def move_aside(path: Path) -> None:
    """Rename a damaged file and its log, and replace the one that was renamed before."""
    for suffix in ("", "-wal", "-shm"):
        damaged = path.with_name(path.name + suffix)
        with contextlib.suppress(OSError):
            damaged.replace(damaged.with_name(f"{path.name}.damaged{suffix}"))


def file_bytes(path: Path) -> int:
    """The size of a database and its log; 0 for one that does not exist."""
    return sum(_size(path.with_name(path.name + suffix)) for suffix in ("", "-wal", "-shm"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
