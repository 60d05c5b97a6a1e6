"""Writing to the disk so that after a power failure there is the earlier or the new content."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

_MAGIC = b"SQLite format 3\0"
_NEW_DATABASE_BYTES = 1 << 18
LOG_SUFFIXES = ("-wal", "-shm")
"""The log of a database and its index, which SQLite finds by their names."""


def sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk. Raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_content(path: Path, content: bytes) -> None:
    """Replace a file: after a kill it is the earlier or the new one. Raises ``OSError``."""
    partial = path.with_suffix(".part")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # without it, a power failure leaves an empty file
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()  # it would take space of a disk that is full
        raise
    sync(path.parent)


def refusal(folder: Path) -> str:
    """Why the disk of a folder accepts no new file: ``the disk is full``; empty if it may."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return ""
    if disk.f_flag & os.ST_RDONLY:
        return "the disk is read-only"
    return "the disk is full" if disk.f_bavail * disk.f_frsize < _NEW_DATABASE_BYTES else ""


def connect(path: Path | str, *, timeout_s: float = 2.0) -> sqlite3.Connection:
    """Open or create a database, for ``transaction``. Raises ``sqlite3.Error``.

    Any thread may use it, one at a time. ``timeout_s``: how long to wait for another process.
    """
    return sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)


def use_log(connection: sqlite3.Connection, *, checkpoint_pages: int | None = None) -> None:
    """Write to a log first: each commit is on the disk, and readers are not blocked.

    ``checkpoint_pages``: how long the log becomes. Raises ``sqlite3.Error``.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if checkpoint_pages is not None:
        connection.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages}")


def reserve_space(connection: sqlite3.Connection, n_bytes: int, *, checkpoint_pages: int) -> None:
    """Write pages into the table ``reserve`` and free them again, for the time of a full disk.

    The freed pages stay in the file, and the log keeps its size. The bytes are random because a
    compressing file system would not reserve space for zeros. If the disk is already full, there
    is no reserve. Raises ``sqlite3.Error`` for other faults.
    """
    filler = secrets.token_bytes(n_bytes)
    free_pages = connection.execute("PRAGMA freelist_count").fetchone()[0]
    page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
    if free_pages * page_bytes >= n_bytes // 2:
        # The file has its reserve, but a normal close has deleted the log.
        filler = filler[: (checkpoint_pages + 32) * page_bytes]
    try:
        with transaction(connection):
            connection.execute("INSERT INTO reserve VALUES (?)", (filler,))
        with transaction(connection):
            connection.execute("DELETE FROM reserve")
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise


class HeldFile:
    """A descriptor of a database, to look at its file while SQLite has it open.

    Make it before the connection, and close it after it: with the first descriptor of a file that
    a process closes, POSIX ends all its locks on this file, also those of SQLite. Raises
    ``OSError``.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO may have its name
        try:
            # To write: on an overlay file system it is then the same file as that of SQLite.
            self._descriptor = os.open(path, os.O_RDWR | flags)
        except OSError:
            self._descriptor = os.open(path, os.O_RDONLY | flags)

    def is_at(self, path: Path) -> bool:
        """Whether this file still has this name, and no other one."""
        try:
            return os.path.samestat(path.stat(), os.fstat(self._descriptor))
        except OSError:
            return False

    def check_header(self, *, may_be_empty: bool = False) -> None:
        """Raise ``sqlite3.DatabaseError`` if the file was overwritten.

        SQLite would continue with its cache and not notice. ``may_be_empty``: a new file is, as
        long as all of it is in the log.
        """
        found = os.pread(self._descriptor, len(_MAGIC), 0)
        if found != _MAGIC and not (may_be_empty and not found):
            error = sqlite3.DatabaseError("its header was overwritten")
            error.sqlite_errorcode = sqlite3.SQLITE_NOTADB
            raise error

    def close(self) -> None:
        """Close it, after the connection."""
        os.close(self._descriptor)


def remove_log(path: Path) -> None:
    """Remove what a deleted database has left: SQLite would add its log to a new file.

    No connection of this process may be open. Raises ``OSError``.
    """
    for suffix in LOG_SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def is_damaged(error: BaseException) -> bool:
    """Whether the database itself is damaged, as opposed to a disk that does not accept it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; on the disk when the block ends."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After a full disk or an I/O error SQLite has already rolled back.
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise
