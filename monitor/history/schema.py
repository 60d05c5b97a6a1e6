"""The tables of the history, and how its SQLite file is opened.

``minutes``, ``quarters`` (of an hour), ``hours`` and ``days`` have the same columns: those of
``Tally``, with ``start`` in minutes of Unix time. A day is one of UTC. Every value is in all of
them, so that years are read as quickly as hours. ``events`` has everything that happened, and
``alerts`` one row for each alert. ``kept_from`` states from when on a table of tallies is complete:
what was before is deleted, and only in the tables with longer rows. In a file of version 1, which
had no quarters, its row ``filling`` states from when on they are made (``filling.py``).
"""

from __future__ import annotations

import math
import os
import sqlite3
from pathlib import Path

from monitor.durable import HeldFile, connect, remove_log, transaction, use_log
from monitor.history.tally import COLUMNS

APPLICATION_ID = 0x41554849  # "AUHI"
SCHEMA_VERSION = 2
CHECKPOINT_PAGES = 256
_LOG_BYTES = 1 << 20
"""The log is cut to this size when it has become longer, for example because of a slow reader."""

FILLING = "filling"
PERIODS = {"minutes": 1, "quarters": 15, "hours": 60, "days": 1440}
"""The tables of tallies, with the minutes of one row."""

_TEXTS = {"state": "TEXT NOT NULL", "ratio_min": "INTEGER", "ratio_max": "INTEGER"}
_TALLY = ", ".join(f"{name} {_TEXTS.get(name, 'INTEGER NOT NULL')}" for name in COLUMNS)
_TABLES = {
    table: f"CREATE TABLE {table} (machine_id INTEGER NOT NULL, start INTEGER NOT NULL, {_TALLY},"
    " PRIMARY KEY (machine_id, start)) WITHOUT ROWID;"
    for table in PERIODS
}
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE machines (machine_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
{" ".join(_TABLES.values())}
CREATE TABLE events (
    position INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, at_unix_s REAL NOT NULL,
    machine TEXT NOT NULL, kind TEXT NOT NULL, alert_id TEXT NOT NULL, event_id TEXT NOT NULL,
    value TEXT NOT NULL, user TEXT NOT NULL, note TEXT NOT NULL, payload TEXT NOT NULL
);
CREATE INDEX events_by_time ON events (at_unix_s);
CREATE INDEX events_by_machine ON events (machine, at_unix_s);
CREATE INDEX events_by_alert ON events (alert_id, position) WHERE alert_id != '';
CREATE UNIQUE INDEX events_by_id ON events (event_id) WHERE event_id != '';
CREATE TABLE alerts (
    alert_id TEXT PRIMARY KEY, machine TEXT NOT NULL, raised_at TEXT NOT NULL,
    raised_unix_s REAL NOT NULL, cleared_at TEXT, cleared_unix_s REAL, peak_ratio REAL,
    n_updates INTEGER NOT NULL, acknowledged INTEGER NOT NULL, label TEXT NOT NULL,
    note TEXT NOT NULL, payload TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX alerts_by_time ON alerts (raised_unix_s);
CREATE INDEX alerts_by_machine ON alerts (machine, raised_unix_s);
CREATE TABLE kept_from (period TEXT PRIMARY KEY, start INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""


def open_to_write(path: Path) -> tuple[sqlite3.Connection, HeldFile, bool]:
    """Open or create the file; the last value is whether it is new. Close the first value first.

    No other connection of this process may be open. Raises ``sqlite3.Error`` or ``OSError`` if the
    file cannot be used, also if a later version of the program made it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        remove_log(path)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    held = HeldFile(path)
    try:
        connection, is_new = _opened(path)
    except BaseException:
        held.close()
        raise
    return connection, held, is_new


def _opened(path: Path) -> tuple[sqlite3.Connection, bool]:
    connection = connect(path)
    try:
        is_new = _is_empty(connection)
        if is_new:
            # Only before the first table, and before the log is used.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        use_log(connection, checkpoint_pages=CHECKPOINT_PAGES)
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        if is_new:
            connection.executescript(_SCHEMA)
        check_version(connection)
        if _identity(connection)[1] == 1:
            _add_quarters(connection)
    except BaseException:
        connection.close()
        raise
    return connection, is_new


def _add_quarters(connection: sqlite3.Connection) -> None:
    """Change a file of version 1; its quarters are made later, from its minutes."""
    newest = connection.execute(
        "SELECT max((SELECT max(start) FROM minutes WHERE machine_id = machines.machine_id))"
        " FROM machines"
    ).fetchone()[0]
    with transaction(connection):
        connection.execute(_TABLES["quarters"])
        if newest is not None:
            connection.execute("INSERT INTO kept_from VALUES (?, ?)", (FILLING, after(newest)))
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def after(minute: int) -> int:
    """The end of the quarter of a minute: the beginning of the next one."""
    return minute - minute % PERIODS["quarters"] + PERIODS["quarters"]


def quarters_from(connection: sqlite3.Connection) -> float:
    """From which minute on there are quarters, or will be no more; infinite without any."""
    if _identity(connection)[1] == 1:
        return math.inf
    row = connection.execute("SELECT start FROM kept_from WHERE period = ?", (FILLING,)).fetchone()
    return -math.inf if row is None else float(row[0])


def check_version(connection: sqlite3.Connection) -> None:
    """Raise ``sqlite3.DatabaseError`` unless this is a history that this program can use."""
    application_id, version = _identity(connection)
    if application_id != APPLICATION_ID or version > SCHEMA_VERSION:
        if connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            raise sqlite3.DatabaseError(
                "is empty: the daemon has not written to it yet, or its disk is full"
            )
        raise sqlite3.DatabaseError("made by another program, or by a later version")


def _is_empty(connection: sqlite3.Connection) -> bool:
    return _identity(connection) == (0, 0)


def _identity(connection: sqlite3.Connection) -> tuple[int, int]:
    application_id: int = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return application_id, version
