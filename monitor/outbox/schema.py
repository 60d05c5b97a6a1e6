"""The tables of the outbox: how its SQLite file is made, checked and extended."""

from __future__ import annotations

import contextlib
import os
import pwd
import sqlite3
from pathlib import Path

from monitor.durable import is_damaged, refusal, remove_log
from monitor.text.regular_files import real_path

BUSY_TIMEOUT_S = 2.0
_APPLICATION_ID = 0x41554F42  # "AUOB"
_SCHEMA_VERSION = 1
_SCHEMA = f"""
CREATE TABLE machines (
    machine TEXT PRIMARY KEY, last_sequence INTEGER NOT NULL, open_alert TEXT
) WITHOUT ROWID;
CREATE TABLE alerts (
    position INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, machine TEXT NOT NULL,
    kind TEXT NOT NULL, appended_unix_s REAL NOT NULL, body TEXT NOT NULL
);
CREATE INDEX alerts_by_machine ON alerts (machine, position);
CREATE INDEX alerts_by_kind ON alerts (kind, position);
CREATE TABLE drops (
    machine TEXT NOT NULL, kind TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (machine, kind)
) WITHOUT ROWID;
CREATE TABLE reserve (filler BLOB);
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_SCHEMA_VERSION};
"""


_ADDED_ALERT_COLUMNS = {"steady_s": "REAL", "boot_id": "TEXT", "dated_by_clock": "INTEGER"}
"""Columns that version 0.1.0 does not have. It still reads and writes a file with them."""
_ALERT_COLUMNS = (
    *("event_id", "machine", "kind", "appended_unix_s", "body"),
    *_ADDED_ALERT_COLUMNS,
)
_UNRECORDED = """
CREATE TABLE IF NOT EXISTS unrecorded (
    position INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, machine TEXT NOT NULL,
    kind TEXT NOT NULL, appended_unix_s REAL NOT NULL, body TEXT NOT NULL, steady_s REAL,
    boot_id TEXT, dated_by_clock INTEGER
)
"""
"""Alerts that the broker has acknowledged. An earlier version leaves them as they are."""
_MACHINES = (
    "SELECT machines.machine, last_sequence, open_alert, dated_unix_s, steady_s, boot_id,"
    " dated_by_clock FROM machines LEFT JOIN machine_times USING (machine)"
)
_MACHINES_WITHOUT_TIMES = "SELECT machine, last_sequence, open_alert FROM machines"


class StoreError(Exception):
    """The file cannot be used as an outbox, although SQLite may open it."""


class StoreDamagedError(StoreError):
    """The file is damaged or not an outbox."""


class StoreTooNewError(StoreError):
    """The file was made by a later version of the program."""


def is_damage(error: BaseException) -> bool:
    """Whether the file itself is damaged, as opposed to a write that failed."""
    return isinstance(error, StoreDamagedError) or is_damaged(error)


def reason_of(error: BaseException, path: Path) -> str:
    """Why the outbox cannot be used; SQLite reports a full disk as an I/O error.

    It reports a file of another user only as one that cannot be opened.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY} and (owner := _other_owner(path)):
        return f"no permission: it belongs to the user {owner}"
    disk = "" if isinstance(error, StoreError) else refusal(path.parent)
    return f"{error} ({disk})" if disk else str(error)


def _other_owner(path: Path) -> str:
    """The other user to whom a file belongs that this process may not write; empty otherwise."""
    try:
        user = path.stat().st_uid
    except OSError:
        return ""
    if user == os.geteuid() or os.access(path, os.R_OK | os.W_OK, effective_ids=True):
        return ""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def create(path: Path) -> None:
    """Create under another name first, so that ``path`` is never an unfinished database."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    # Alerts are for the user of the daemon only, as in the other databases of the state folder.
    os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with contextlib.closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
    remove_log(path)
    unfinished.rename(path)


def verify(connection: sqlite3.Connection, *, check_pages: bool = True) -> None:
    """Raise ``StoreError`` unless this is an undamaged outbox of a known version."""
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application_id != _APPLICATION_ID or version < 1:
        raise StoreDamagedError("the file is empty or not an outbox")
    if version > _SCHEMA_VERSION:
        raise StoreTooNewError(
            f"its format version is {version}, but this program reads up to {_SCHEMA_VERSION}"
        )
    if check_pages:
        check_result = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if check_result != "ok":
            raise StoreDamagedError(check_result.splitlines()[0])


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection for reading, beside a running daemon or on a read-only disk.

    Raises ``sqlite3.Error`` and ``StoreError``.
    """
    # Without a log the file is complete. A plain open would then create a log and its index, or
    # fail in a read-only folder.
    has_log = path.with_name(path.name + "-wal").exists()
    connection = sqlite3.connect(
        real_path(path).as_uri() + ("?mode=ro" if has_log else "?mode=ro&immutable=1"),
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        verify(connection, check_pages=False)
    except BaseException:
        connection.close()
        raise
    return connection


def alert_columns(connection: sqlite3.Connection) -> str:
    """The columns as SQL; those that a file of an earlier version does not have are NULL."""
    present = {row[1] for row in connection.execute("PRAGMA table_info(alerts)")}
    return ", ".join(name if name in present else f"NULL AS {name}" for name in _ALERT_COLUMNS)


def machines_query(connection: sqlite3.Connection) -> str:
    """The query for all machines; a file of an earlier version has no times of them."""
    times = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'machine_times'")
    return _MACHINES if times.fetchone() else _MACHINES_WITHOUT_TIMES


def unrecorded_query(connection: sqlite3.Connection) -> str:
    """The query for the ``?`` oldest alerts that were delivered and are not recorded.

    A file of an earlier version has no such table.
    """
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'unrecorded'").fetchone()
    table = "unrecorded" if found else "alerts WHERE 0"
    return f"SELECT {alert_columns(connection)} FROM {table} ORDER BY position LIMIT ?"  # noqa: S608 - constants


def extend(connection: sqlite3.Connection) -> None:
    """Add what a file of an earlier version does not have; that version can still use it."""
    present = {row[1] for row in connection.execute("PRAGMA table_info(alerts)")}
    for name, kind in _ADDED_ALERT_COLUMNS.items():
        if name not in present:
            connection.execute(f"ALTER TABLE alerts ADD COLUMN {name} {kind}")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS boots (position INTEGER PRIMARY KEY,"
        " boot_id TEXT NOT NULL UNIQUE, last_steady_s REAL NOT NULL)"
    )
    connection.execute(
        "CREATE TABLE IF NOT EXISTS machine_times (machine TEXT PRIMARY KEY, dated_unix_s REAL,"
        " steady_s REAL, boot_id TEXT, dated_by_clock INTEGER) WITHOUT ROWID"
    )
    connection.execute(_UNRECORDED)
