"""The SQLite file of a ledger: its tables, and space for the next entries on a full disk."""

from __future__ import annotations

import contextlib
import sqlite3

from monitor.durable import connect, reserve_space, use_log

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    inode INTEGER PRIMARY KEY, size INTEGER NOT NULL, modified_ns INTEGER NOT NULL,
    head TEXT NOT NULL, tail TEXT NOT NULL, n_frames INTEGER NOT NULL, done INTEGER NOT NULL,
    decided_frames INTEGER NOT NULL DEFAULT 0, changed_ns INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS files_by_content ON files (head, size);
CREATE TABLE IF NOT EXISTS displaced (
    inode INTEGER NOT NULL, size INTEGER NOT NULL, modified_ns INTEGER NOT NULL,
    head TEXT NOT NULL, tail TEXT NOT NULL, n_frames INTEGER NOT NULL, done INTEGER NOT NULL,
    decided_frames INTEGER NOT NULL, changed_ns INTEGER NOT NULL,
    UNIQUE (head, size, tail, modified_ns)
);
CREATE TABLE IF NOT EXISTS reserve (filler BLOB);
"""
COLUMNS = "inode, size, modified_ns, head, tail, n_frames, done, decided_frames, changed_ns"
_VALUES = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
STORE = f"INSERT OR REPLACE INTO files ({COLUMNS}) VALUES {_VALUES}"  # noqa: S608 - constants
DISPLACE = f"INSERT OR REPLACE INTO displaced ({COLUMNS}) VALUES {_VALUES}"  # noqa: S608 - constants
_KEPT_DISPLACED = 50_000
"""A recorder that reuses the inodes of deleted files displaces an entry with each recording."""
FORGET = f"""
DELETE FROM displaced WHERE rowid <= (SELECT max(rowid) FROM displaced) - {_KEPT_DISPLACED}
"""  # noqa: S608 - a constant
_ADDED_COLUMNS = ("decided_frames", "changed_ns")
_RESERVE_BYTES = 1 << 18
_BUSY_TIMEOUT_S = 5.0
_CHECKPOINT_PAGES = 16  # keeps the write-ahead log much smaller than the reserve


def open_ledger_file(name: str) -> sqlite3.Connection:
    """Open or create a ledger. ``name``: a path or ``:memory:``.

    Raises ``sqlite3.DatabaseError`` where it is damaged, and ``sqlite3.OperationalError`` where
    it cannot be opened or written.
    """
    connection = connect(name, timeout_s=_BUSY_TIMEOUT_S)
    try:
        use_log(connection, checkpoint_pages=_CHECKPOINT_PAGES)
        connection.executescript(_SCHEMA)
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("the database is damaged")
        columns = {row[1] for row in connection.execute("PRAGMA table_info(files)")}
        for column in _ADDED_COLUMNS:
            if column not in columns:
                connection.execute(
                    f"ALTER TABLE files ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0"
                )
        with contextlib.suppress(sqlite3.OperationalError):  # a disk that is read-only
            reserve_space(connection, _RESERVE_BYTES, checkpoint_pages=_CHECKPOINT_PAGES)
    except BaseException:
        connection.close()
        raise
    return connection


def copy_entries(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Write all entries of a ledger to another one. Raises ``sqlite3.Error``."""
    for table, store in (("displaced", DISPLACE), ("files", STORE)):
        rows = source.execute(f"SELECT {COLUMNS} FROM {table}").fetchall()  # noqa: S608 - constants
        target.executemany(store, rows)
