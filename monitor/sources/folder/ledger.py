"""What was read of which file, kept across restarts.

A file is recognised by its inode, size and time of change, and where one of them differs, by its
content: a renamed or moved file is the same file, one that was written anew is another one, and
one that has grown goes on where reading stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    inode INTEGER PRIMARY KEY, size INTEGER NOT NULL, modified_ns INTEGER NOT NULL,
    head TEXT NOT NULL, tail TEXT NOT NULL, n_frames INTEGER NOT NULL, done INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS files_by_content ON files (head, size);
"""
_EDGE_BYTES = 4096
_COLUMNS = "inode, size, modified_ns, head, tail, n_frames, done"


@dataclass(frozen=True, slots=True)
class Version:
    """Size, time and inode of a file."""

    inode: int
    size: int
    modified_ns: int

    @staticmethod
    def of(status: os.stat_result) -> Version:
        """The version that ``stat`` found."""
        return Version(status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file was read: ``n_frames`` samples a channel, ``done`` when to its end."""

    version: Version
    head: str
    tail: str
    n_frames: int = 0
    done: bool = False


class Ledger:
    """The files of one folder that were read. Used by one thread.

    ``path``: where it is kept, None for memory only. A disk that cannot be written or read is
    reported in the log once; the ledger then goes on in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._trouble = ""
        self._connection = self._connect(path)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def is_done(self, version: Version) -> bool:
        """Whether exactly this version of a file was read to its end."""
        found = self._select(
            "SELECT 1 FROM files WHERE inode = ? AND size = ? AND modified_ns = ? AND done",
            (version.inode, version.size, version.modified_ns),
        )
        return bool(found)

    def progress(self, path: Path, version: Version) -> Progress:
        """How far a file was read, from the beginning where it is a new one.

        Raises ``OSError`` where it cannot be read.
        """
        with path.open("rb") as file:
            fresh = Progress(version, _head(file, version.size), _tail(file, version.size))
            for known in self._known(version, fresh.head):
                is_same_file = known.version.inode == version.inode
                is_same_content = (known.version.size, known.head, known.tail) == (
                    version.size,
                    fresh.head,
                    fresh.tail,
                )
                is_same_time = known.version.modified_ns == version.modified_ns
                if is_same_content and (is_same_file or is_same_time):
                    return replace(known, version=version)
                has_grown = is_same_file and known.version.size < version.size
                if has_grown and known.head == _head(file, known.version.size):
                    return replace(fresh, n_frames=known.n_frames)
        return fresh

    def keep(self, progress: Progress) -> None:
        """Store how far a file was read."""
        version = progress.version
        row = (version.inode, version.size, version.modified_ns, progress.head, progress.tail)
        try:
            self._insert((*row, progress.n_frames, progress.done))
        except sqlite3.Error as error:
            self._go_on_in_memory(error)
            self._insert((*row, progress.n_frames, progress.done))

    def _known(self, version: Version, head: str) -> list[Progress]:
        """The file with this inode, then those with equal beginning and size."""
        rows = self._rows(
            f"SELECT {_COLUMNS} FROM files WHERE inode = ? OR (head = ? AND size = ?)"  # noqa: S608 - a constant
            " ORDER BY inode = ? DESC LIMIT 100",
            (version.inode, head, version.size, version.inode),
        )
        return [
            Progress(Version(inode, size, modified_ns), head, tail, n_frames, bool(done))
            for inode, size, modified_ns, head, tail, n_frames, done in rows
        ]

    def _rows(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            self._go_on_in_memory(error)
            return self._connection.execute(query, values).fetchall()

    def _select(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """Rows of the ledger. A damaged file is put aside, and what it had is lost."""
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            self._connection.close()
            self._put_aside(error)
            self._connection = self._connect(self._path)
            return self._connection.execute(query, values).fetchall()

    def _put_aside(self, error: sqlite3.Error) -> None:
        if self._path is None:
            return
        log.error("%s: damaged (%s); the files of the folder are read again", self._path, error)
        with contextlib.suppress(OSError):
            self._path.rename(self._path.with_name(self._path.name + ".damaged"))
            for suffix in ("-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _insert(self, row: tuple[object, ...]) -> None:
        self._connection.execute(
            f"INSERT OR REPLACE INTO files ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
            row,
        )

    def _connect(self, path: Path | None) -> sqlite3.Connection:
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                return _opened(str(path))
            except sqlite3.DatabaseError as error:
                if not isinstance(error, sqlite3.OperationalError):
                    self._put_aside(error)
                    with contextlib.suppress(sqlite3.Error):
                        return _opened(str(path))
                self._complain(error)
            except OSError as error:
                self._complain(error)
        return _opened(":memory:")

    def _go_on_in_memory(self, error: sqlite3.Error) -> None:
        self._complain(error)
        memory = _opened(":memory:")
        with contextlib.suppress(sqlite3.Error):
            rows = self._connection.execute(f"SELECT {_COLUMNS} FROM files").fetchall()  # noqa: S608 - a constant
            memory.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        self._connection.close()
        self._connection = memory

    def _complain(self, error: Exception) -> None:
        log.error(
            "%s: cannot be used (%s); after a restart the files of the folder are read again",
            self._path,
            error,
        )


def _opened(name: str) -> sqlite3.Connection:
    connection = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("the database is damaged")
    except BaseException:
        connection.close()
        raise
    return connection


def _head(file: BinaryIO, size: int) -> str:
    """Hash of the first bytes of a file that has or had ``size`` of them.

    Lengths that a recorder renews while it writes are left out.
    """
    file.seek(0)
    head = bytearray(file.read(min(size, _EDGE_BYTES)))
    magic = bytes(head[:4])
    if magic in {b"RIFF", b"RF64", b"RIFX"}:
        data = head.find(b"data")
        head[4:8] = bytes(4)
        if data > 0:
            head[data + 4 : data + 8] = bytes(4)
        ds64 = head.find(b"ds64", 0, 64)
        if ds64 > 0:
            head[ds64 + 8 : ds64 + 32] = bytes(24)
    elif magic == b"fLaC":
        head[12:42] = bytes(30)
    elif head[:3] == b"ID3" or head[:1] == b"\xff":
        head[:2048] = bytes(min(2048, len(head)))
    return _sha256(head)


def _tail(file: BinaryIO, size: int) -> str:
    file.seek(max(0, size - _EDGE_BYTES))
    return _sha256(file.read(_EDGE_BYTES))


def _sha256(data: bytes | bytearray) -> str:
    return hashlib.sha256(bytes(data)).hexdigest()[:32]
