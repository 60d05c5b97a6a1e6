"""What operators told the daemon, on the disk: mutes, acknowledgements and labels.

Memory is right and the disk follows: while the disk does not accept changes, everything continues
in memory and is written by the first ``flush`` that succeeds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import ClassVar

from monitor.clock import SYSTEM_CLOCK, Clock, Moment
from monitor.control.mute import Mute

log = logging.getLogger(__name__)

_APPLICATION_ID = 0x4155_4F50  # "AUOP"
_SCHEMA_VERSION = 1
_RETRY_S = 5.0
_DISK_ERRORS = (sqlite3.Error, OSError)
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE entries (
    position INTEGER PRIMARY KEY, at_unix_s REAL NOT NULL, steady_s REAL NOT NULL,
    boot_id TEXT NOT NULL, user TEXT NOT NULL, action TEXT NOT NULL, machine TEXT NOT NULL,
    alert_id TEXT NOT NULL, value TEXT NOT NULL, note TEXT NOT NULL
);
CREATE INDEX entries_by_machine ON entries (machine, position);
CREATE TABLE alerts (
    position INTEGER PRIMARY KEY, alert_id TEXT NOT NULL UNIQUE, machine TEXT NOT NULL,
    acknowledged INTEGER NOT NULL, label TEXT NOT NULL
);
CREATE TABLE mutes (
    machine TEXT PRIMARY KEY, left_s REAL NOT NULL, unix_s REAL NOT NULL, steady_s REAL NOT NULL,
    boot_id TEXT NOT NULL, note TEXT NOT NULL, user TEXT NOT NULL, alerts INTEGER NOT NULL,
    held TEXT NOT NULL, held_unix_s REAL NOT NULL, held_steady_s REAL NOT NULL,
    held_boot_id TEXT NOT NULL
) WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_SCHEMA_VERSION};
COMMIT;
"""


@dataclass(slots=True)
class KnownAlert:
    """An alert that was raised. ``label``: what an operator says it was, empty without one."""

    alert_id: str
    machine: str
    acknowledged: bool = False
    label: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a user did: ``action`` with its ``value`` (a label, or seconds), and why."""

    at: Moment
    user: str
    action: str
    machine: str
    alert_id: str = ""
    value: str = ""
    note: str = ""


class OperatorLog:
    """The mutes, the newest alerts, and everything that operators did.

    Not thread-safe: the caller must hold a lock. Nothing raises errors of the disk: ``trouble`` is
    the reason, in one line, why changes are only in memory. A damaged file is renamed and
    replaced. The caller changes a ``Mute`` or a ``KnownAlert`` and then calls ``put_mute`` or
    ``put_alert``; the change is on the disk after the next ``flush``.
    """

    MOST_ALERTS: ClassVar[int] = 1000
    MOST_ENTRIES: ClassVar[int] = 100_000
    _MOST_UNWRITTEN: ClassVar[int] = 10_000

    def __init__(self, path: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self.path = path
        self.clock = clock
        self.mutes: dict[str, Mute] = {}
        self.alerts: dict[str, KnownAlert] = {}
        self.trouble = ""
        self._connection: sqlite3.Connection | None = None
        self._next_try_s = 0.0
        self._unwritten: list[Entry] = []
        self._changed_mutes: set[str] = set()
        self._changed_alerts: set[str] = set()
        self._try(self._open)

    def close(self) -> None:
        """Write what is left, if the disk accepts it."""
        for mute in self.mutes.values():
            mute.refresh(self.clock)
            self.put_mute(mute)
        self.flush()
        self._disconnect()

    def put_mute(self, mute: Mute) -> None:
        """Keep a new or changed mute."""
        self.mutes[mute.machine] = mute
        self._changed_mutes.add(mute.machine)

    def drop_mute(self, machine: str) -> None:
        """The mute has ended."""
        self.mutes.pop(machine, None)
        self._changed_mutes.add(machine)

    def put_alert(self, alert: KnownAlert) -> None:
        """Keep a new or changed alert; the oldest are forgotten."""
        self.alerts[alert.alert_id] = alert
        self._changed_alerts.add(alert.alert_id)
        while len(self.alerts) > self.MOST_ALERTS:
            oldest = next(iter(self.alerts))
            del self.alerts[oldest]
            self._changed_alerts.add(oldest)

    def add(self, entry: Entry) -> None:
        """Add what a user did; the oldest entries are forgotten."""
        self._unwritten.append(entry)
        del self._unwritten[: -self._MOST_UNWRITTEN]

    def flush(self) -> None:
        """Write all changes, or set ``trouble``."""
        if self._unwritten or self._changed_mutes or self._changed_alerts:
            self._try(self._write)

    def flush_if_due(self) -> None:
        """``flush``, but only every few seconds while the disk does not accept changes."""
        if time.monotonic() < self._next_try_s:
            return
        if self._connection is None:  # its disk may have been mounted late
            self._try(self._open)
        self.flush()

    # The disk.

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except _DISK_ERRORS as error:
            self._failed(error)
        else:
            if self.trouble:
                log.warning("%s: the disk accepts changes again", self.path)
            self.trouble = ""

    def _failed(self, error: Exception) -> None:
        self._disconnect()
        self._next_try_s = time.monotonic() + _RETRY_S
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
            self._move_aside()
            self._next_try_s = 0.0
            self._changed_mutes |= set(self.mutes)
            self._changed_alerts |= set(self.alerts)
        reason = f"{self.path}: {error}"
        if reason != self.trouble:
            log.error("%s; mutes and labels are kept in memory until the disk accepts them", reason)
            self.trouble = reason

    def _move_aside(self) -> None:
        """Rename the damaged file and its log, and replace the one that was renamed before."""
        for suffix in ("", "-wal", "-shm"):
            damaged = self.path.with_name(self.path.name + suffix)
            with contextlib.suppress(OSError):
                damaged.replace(damaged.with_name(f"{self.path.name}.damaged{suffix}"))

    def _open(self) -> sqlite3.Connection:
        """The open file. What it has, and memory does not, is taken over."""
        if self._connection is not None and self.path.exists():
            return self._connection
        self._disconnect()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(
            self.path, timeout=2.0, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._prepare(connection)
            self._take_over(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        application_id = connection.execute("PRAGMA application_id").fetchone()[0]
        if (application_id, version) == (0, 0):
            connection.executescript(_SCHEMA)
            self._changed_mutes |= set(self.mutes)
            self._changed_alerts |= set(self.alerts)
        elif application_id != _APPLICATION_ID or version > _SCHEMA_VERSION:
            raise sqlite3.DatabaseError("made by another program, or by a later version")

    def _take_over(self, connection: sqlite3.Connection) -> None:
        for row in connection.execute("SELECT * FROM mutes"):
            machine, left_s, unix_s, steady_s, boot_id, note, user, alerts, held, *since = row
            if machine not in self.mutes and machine not in self._changed_mutes:
                as_of = Moment(unix_s, steady_s, boot_id)
                self.mutes[machine] = Mute(
                    *(machine, left_s, as_of, note, user, alerts, held, Moment(*since))
                )
        known = {}
        for alert_id, machine, acknowledged, label in connection.execute(
            "SELECT alert_id, machine, acknowledged, label FROM alerts ORDER BY position"
        ):
            known[alert_id] = KnownAlert(alert_id, machine, bool(acknowledged), label)
        self.alerts = known | self.alerts

    def _write(self) -> None:
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._write_mutes(connection)
            self._write_alerts(connection)
            self._write_entries(connection)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        self._unwritten.clear()
        self._changed_mutes.clear()
        self._changed_alerts.clear()

    def _write_mutes(self, connection: sqlite3.Connection) -> None:
        for machine in self._changed_mutes:
            mute = self.mutes.get(machine)
            if mute is None:
                connection.execute("DELETE FROM mutes WHERE machine = ?", (machine,))
                continue
            row = (machine, mute.left_s, *astuple(mute.as_of), mute.note, mute.by, mute.alerts)
            connection.execute(
                "INSERT OR REPLACE INTO mutes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, mute.held, *astuple(mute.held_since)),
            )

    def _write_alerts(self, connection: sqlite3.Connection) -> None:
        for alert_id in self._changed_alerts:
            alert = self.alerts.get(alert_id)
            if alert is None:
                connection.execute("DELETE FROM alerts WHERE alert_id = ?", (alert_id,))
                continue
            connection.execute(
                "INSERT INTO alerts (alert_id, machine, acknowledged, label) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (alert_id) DO UPDATE SET acknowledged = excluded.acknowledged,"
                " label = excluded.label",
                astuple(alert),
            )

    def _write_entries(self, connection: sqlite3.Connection) -> None:
        connection.executemany(
            "INSERT INTO entries (at_unix_s, steady_s, boot_id, user, action, machine, alert_id,"
            " value, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            _rows(self._unwritten),
        )
        connection.execute(
            "DELETE FROM entries WHERE position <= (SELECT max(position) FROM entries) - ?",
            (self.MOST_ENTRIES,),
        )

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _rows(entries: Iterable[Entry]) -> list[tuple[object, ...]]:
    return [
        (*astuple(one.at), one.user, one.action, one.machine, one.alert_id, one.value, one.note)
        for one in entries
    ]
