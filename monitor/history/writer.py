"""Writes the history in a thread of its own, so that no disk slows the monitoring."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import ClassVar

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.history.file import HistoryFile, database_bytes
from monitor.history.pending import Batch, Pending
from monitor.history.records import ALERT_KINDS, Event
from monitor.history.retention import Limits
from monitor.history.tally import Tally

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HistoryHealth:
    """``trouble``: why values are only in memory, in one line; empty if they are written.

    ``n_waiting``: values of minutes and events that are not written yet. ``n_lost``: those that
    were lost since this process started, because the disk did not accept them in time.
    ``n_bytes``: of the file and its log, ``max_bytes``: their limit. ``n_replaced``: the damaged
    files that were renamed and replaced since this process started.
    """

    trouble: str
    n_waiting: int
    n_lost: int
    n_bytes: int
    max_bytes: int
    n_replaced: int


class HistoryWriter:
    """The one writer of a history. Every method may be called from any thread.

    No method waits for the disk, except ``close`` and ``is_written``, and none raises an error of
    the disk. What cannot be written stays in memory, up to a limit, and is written later.
    """

    RETRY_S: ClassVar[float] = 5.0
    COLLECT_S: ClassVar[float] = 6.0
    """How long minutes wait, for each of them, at most ``MOST_COLLECT_S``: with many machines,
    several minutes of each are written at once, and share a page of the file."""
    MOST_COLLECT_S: ClassVar[float] = 300.0
    MOST_KNOWN: ClassVar[int] = 10_000
    """Of so many messages of alerts it is known that they are on the disk."""

    def __init__(
        self, path: Path, limits: Limits | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._path = path
        self._changed = threading.Condition()
        self._pending = Pending()
        self._writing = Batch()
        self._writing_ids: frozenset[str] = frozenset()
        self._written_ids: dict[str, None] = {}
        self._trouble = ""
        self._refuses_alerts = False
        self._next_try_s = 0.0
        self._next_values_s = 0.0
        self._reported_lost = 0
        self._n_begun = 0
        """As that of the file, when ``_written_ids`` was cleared for it."""
        self._is_closing = False
        self._file = HistoryFile(path, limits or Limits(), clock)
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    def set_limits(self, limits: Limits) -> None:
        """Use other limits."""
        self._file.limits = limits

    def monitored(self, machines: Collection[str]) -> None:
        """Only these machines are monitored."""
        self._file.monitored = frozenset(machines)

    def add_minute(self, machine: str, minute: int, tally: Tally) -> None:
        """Add values to those of a minute (Unix time // 60)."""
        with self._changed:
            self._pending.add_minute(machine, minute, tally)
            self._changed.notify_all()

    def add_event(self, event: Event) -> None:
        """Add an event. One with an ``event_id`` that exists is not written again."""
        with self._changed:
            known = event.event_id in self._written_ids or self._is_waiting(event.event_id)
            if event.event_id and known:
                return
            self._pending.add_event(event)
            self._changed.notify_all()

    def is_written(self, event_id: str, timeout_s: float) -> bool:
        """Whether a message of an alert is known to be on the disk.

        Waits for it, but not while the disk refuses alerts. False also for one that was never
        added, that was lost because too many waited, or that was written long ago: add it again.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._refuses_alerts or not self._is_waiting(event_id), timeout_s
            )
            return event_id in self._written_ids

    @property
    def refuses_alerts(self) -> bool:
        """Whether the disk did not accept the newest messages of alerts."""
        return self._refuses_alerts

    @property
    def lapses(self) -> tuple[int, int]:
        """Changes when messages of alerts that were added may be missing.

        That is: when too many waited, and when the file began again.
        """
        return self._pending.n_lost_alerts, self._n_begun

    @contextlib.contextmanager
    def to_read(self) -> Iterator[sqlite3.Connection]:
        """The open history, for the time of the block. Raises as ``HistoryFile.to_read``."""
        with self._file.to_read() as connection:
            self._note_begun()
            yield connection

    def health(self) -> HistoryHealth:
        """The condition of the history."""
        with self._changed:
            n_waiting = len(self._pending) + len(self._writing)
            n_lost = self._pending.n_lost
        return HistoryHealth(
            self._trouble,
            n_waiting,
            n_lost,
            database_bytes(self._path),
            int(self._file.limits.max_bytes),
            self._file.n_damaged,
        )

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what waits, if the disk accepts it in time, and end."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("history %s: was not closed within %g s", self._path, timeout_s)

    def _is_waiting(self, event_id: str) -> bool:
        return self._pending.has_event(event_id) or event_id in self._writing_ids

    # The thread.

    def _run(self) -> None:
        is_open = True
        while is_open:
            with self._changed:
                while (wait_s := self._wait_s()) > 0:
                    self._changed.wait(min(wait_s, threading.TIMEOUT_MAX))
                self._writing = self._pending.take()
                self._writing_ids = _message_ids(self._writing)
            fault = self._work()
            with self._changed:  # what is refused at the end is not tried again
                is_open = not self._is_closing or (len(self._pending) > 0 and not fault)
        self._file.close()

    def _wait_s(self) -> float:
        """How long to wait for something to do, if nothing is added."""
        if self._is_closing:
            return 0.0
        now_s = time.monotonic()
        only_alerts = now_s < self._next_values_s
        collect_s = min(self.MOST_COLLECT_S, self.COLLECT_S * self._pending.n_minutes)
        due_s = self._pending.due_s(collect_s, only_alerts=only_alerts)
        times_s = [self._file.upkeep_due_s]
        if due_s is not None:
            times_s.append(due_s)
        if only_alerts and len(self._pending):
            times_s.append(self._next_values_s)
        return max(min(times_s), self._next_try_s) - now_s

    def _work(self) -> str:
        """Write, and do a part of the upkeep; returns why something is refused."""
        rest, fault = self._writing, ""
        written: frozenset[str] = frozenset()
        try:
            rest, fault = self._file.write(self._writing)
            written = self._writing_ids - _message_ids(rest)
            if not self._is_closing:
                self._file.upkeep()
        except (sqlite3.Error, OSError) as error:
            # A damaged file is replaced, and the new one is written at once.
            fault = "" if self._file.replaced(error) else str(error)
            if not fault and written:  # the new file may not have them
                rest, written = self._writing.split()[0], frozenset()
        except Exception as error:  # a bug here must not end the history
            log.exception("internal error in the history")
            fault = repr(error)
        with self._changed:
            self._note_begun()
            self._note_written(written)
            self._pending.put_back(rest)
            self._writing, self._writing_ids = Batch(), frozenset()
            self._refuses_alerts = bool(fault) and self._pending.n_alert_events > 0
            self._changed.notify_all()
        if fault:
            self._next_values_s = time.monotonic() + self.RETRY_S
            self._next_try_s = self._next_values_s if self._refuses_alerts else 0.0
        self._report(fault)
        return fault

    def _note_begun(self) -> None:
        """If the file began again, what was written before may not be in it."""
        with self._changed:
            if self._n_begun != self._file.n_begun:
                self._n_begun = self._file.n_begun
                self._written_ids.clear()

    def _note_written(self, event_ids: frozenset[str]) -> None:
        self._written_ids |= dict.fromkeys(event_ids)
        excess = max(0, len(self._written_ids) - self.MOST_KNOWN)
        for event_id in list(islice(self._written_ids, excess)):
            del self._written_ids[event_id]

    def _report(self, fault: str) -> None:
        """Log when trouble begins, changes or ends, and when values are lost."""
        before, self._trouble = self._trouble, fault
        if fault and fault != before:
            log.error(
                "history %s: %s; it is kept in memory until the disk accepts it", self._path, fault
            )
        n_lost = self._pending.n_lost - self._reported_lost
        if before and not fault:
            self._reported_lost += n_lost
            log.warning(
                "history %s: the disk accepts it again",
                self._path,
                extra={"values_and_events_lost": n_lost},
            )


def _message_ids(batch: Batch) -> frozenset[str]:
    """The ``event_id`` of every message of an alert."""
    return frozenset(event.event_id for event in batch.events if event.kind in ALERT_KINDS)
