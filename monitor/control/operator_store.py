"""The SQLite file of mutes, acknowledgements, labels and what operators did."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from monitor.clock import Moment
from monitor.control.mute import Mute
from monitor.durable import LOG_SUFFIXES, connect, transaction, use_log

_APPLICATION_ID = 0x4155_4F50  # "AUOP"
_SCHEMA_VERSION = 1

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
    """An alert that was raised. ``label``: what an operator noted that it was, or empty."""

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


class OperatorStore:
    """One open file. Every method may raise ``sqlite3.Error``.

    ``is_new``: whether the file did not exist before. The constructor raises ``sqlite3.Error`` or
    ``OSError`` if the file cannot be used, also if a later version of the program made it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._connection = connect(path)
        try:
            use_log(self._connection)
            self.is_new = self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """All or nothing; on the disk when the block ends."""
        return transaction(self._connection)

    def mutes(self) -> list[Mute]:
        found = []
        for row in self._connection.execute("SELECT * FROM mutes"):
            machine, left_s, unix_s, steady_s, boot_id, note, user, alerts, held, *since = row
            as_of = Moment(unix_s, steady_s, boot_id)
            held_since, began = Moment(*since), self._mute_began(machine) or as_of
            found.append(Mute(machine, left_s, as_of, note, user, alerts, held, held_since, began))
        return found

    def _mute_began(self, machine: str) -> Moment | None:
        """When the mute that lasts was begun, from the entries; None if they are deleted."""
        rows = self._connection.execute(
            "SELECT CAST(at_unix_s AS REAL), CAST(steady_s AS REAL), CAST(boot_id AS TEXT), action,"
            " CAST(value AS REAL) FROM entries"
            " WHERE machine = ? AND action IN ('mute', 'unmute') ORDER BY position DESC",
            (machine,),
        )
        began: Moment | None = None
        for unix_s, steady_s, boot_id, action, length_s in rows:
            has_ended = began is not None and unix_s + length_s < began.unix_s
            if action == "unmute" or has_ended:
                break
            began = Moment(unix_s, steady_s, boot_id)  # later entries gave it another end
        return began

    def put_mute(self, mute: Mute) -> None:
        row = (mute.machine, mute.left_s, *astuple(mute.as_of), mute.note, mute.by, mute.alerts)
        self._connection.execute(
            "INSERT OR REPLACE INTO mutes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, mute.held, *astuple(mute.held_since)),
        )

    def delete_mute(self, machine: str) -> None:
        self._connection.execute("DELETE FROM mutes WHERE machine = ?", (machine,))

    def alerts(self) -> list[KnownAlert]:
        """The alerts, oldest first."""
        rows = self._connection.execute(
            "SELECT alert_id, machine, acknowledged, label FROM alerts ORDER BY position"
        )
        return [KnownAlert(row[0], row[1], bool(row[2]), row[3]) for row in rows]

    def put_alert(self, alert: KnownAlert) -> None:
        self._connection.execute(
            "INSERT INTO alerts (alert_id, machine, acknowledged, label) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (alert_id) DO UPDATE SET acknowledged = excluded.acknowledged,"
            " label = excluded.label",
            astuple(alert),
        )

    def delete_alert(self, alert_id: str) -> None:
        self._connection.execute("DELETE FROM alerts WHERE alert_id = ?", (alert_id,))

    def add(self, entries: Iterable[Entry], most: int) -> None:
        """Add entries, and delete the oldest above ``most``."""
        self._connection.executemany(
            "INSERT INTO entries (at_unix_s, steady_s, boot_id, user, action, machine, alert_id,"
            " value, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (*astuple(e.at), e.user, e.action, e.machine, e.alert_id, e.value, e.note)
                for e in entries
            ],
        )
        self._connection.execute(
            "DELETE FROM entries WHERE position <= (SELECT max(position) FROM entries) - ?",
            (most,),
        )

    def _prepare(self) -> bool:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        application_id = self._connection.execute("PRAGMA application_id").fetchone()[0]
        if (application_id, version) == (0, 0):
            self._connection.executescript(_SCHEMA)
            return True
        if application_id != _APPLICATION_ID or version > _SCHEMA_VERSION:
            raise sqlite3.DatabaseError("made by another program, or by a later version")
        return False


def move_aside(path: Path) -> None:
    """Rename a damaged file and its log, and replace the one that was renamed before."""
    for suffix in ("", *LOG_SUFFIXES):
        damaged = path.with_name(path.name + suffix)
        with contextlib.suppress(OSError):
            damaged.replace(damaged.with_name(f"{path.name}.damaged{suffix}"))
