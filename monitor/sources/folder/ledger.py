"""What was read of which file, kept across restarts.

A file is recognised by its inode, size and times. If one of them differs, it is
recognised by its content: a renamed or moved file is the same file, and a file with new content
is another file. A file that has grown is read from the place where reading stopped.

Another file may get the inode of one that was read, also while both exist: on a copy of the
folder on another disk, on a FAT disk that is connected again, on two disks that are linked into
one folder. The entry of the first file is then displaced, and still used to recognise its content.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monitor.sources.folder.fingerprint import hash_head, hash_tail
from monitor.sources.folder.ledger_file import (
    COLUMNS,
    DISPLACE,
    FORGET,
    STORE,
    copy_entries,
    open_ledger_file,
)

log = logging.getLogger(__name__)

_RETRY_S = 1.0
_INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Version:
    """Inode, size and times of a file, as far as SQLite's 64 bits hold them.

    Inodes of network and merged file systems use all 64 bits without a sign. Times after the
    year 2262 count as 2262.

    ``changed_ns``: the time that no program can set (``st_ctime``). It shows that a file was
    written again although its size and ``modified_ns`` are the same.
    """

    inode: int
    size: int
    modified_ns: int
    changed_ns: int = 0

    @staticmethod
    def of(status: os.stat_result) -> Version:
        """The version that ``stat`` found."""
        inode = status.st_ino
        return Version(
            inode if inode <= _INT64_MAX else inode - 2**64,
            status.st_size,
            min(status.st_mtime_ns, _INT64_MAX),
            min(status.st_ctime_ns, _INT64_MAX),
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file was read: ``n_frames`` samples a channel, ``done`` when to its end.

    What comes after ``decided_frames`` is needed again after a restart, because a fault in it
    may not be decided yet.
    """

    version: Version
    head: str
    tail: str
    n_frames: int = 0
    done: bool = False
    decided_frames: int = 0


class Ledger:
    """The files of one folder that were read. Used by one thread.

    ``path``: where it is kept, None for memory only. Space for the next entries is reserved in
    the file. A disk that still cannot be written or read is reported in the log once; the ledger
    is then kept in memory, and is written as soon as the disk accepts it.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._is_on_disk = path is not None
        self._next_try_s = 0.0
        self._connection = self._connect(path)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def is_done(self, version: Version) -> bool:
        """Whether exactly this version of a file was read to its end."""
        found = self._select(
            "SELECT 1 FROM files"
            " WHERE inode = ? AND size = ? AND modified_ns = ? AND changed_ns = ? AND done",
            (version.inode, version.size, version.modified_ns, version.changed_ns),
        )
        return bool(found)

    def progress(self, path: Path, version: Version) -> Progress:
        """How far a file was read: nothing of a new file.

        Raises ``OSError`` where it cannot be read.
        """
        with path.open("rb") as file:
            fresh = Progress(version, hash_head(file, version.size), hash_tail(file, version.size))
            known_files = self._known(version, fresh.head)
            for known in known_files:
                is_same_file = known.version.inode == version.inode
                is_same_content = (known.version.size, known.head, known.tail) == (
                    version.size,
                    fresh.head,
                    fresh.tail,
                )
                is_same_time = known.version.modified_ns == version.modified_ns
                if is_same_content and (is_same_file or is_same_time):
                    self._displace(version, known_files, known)
                    return replace(known, version=version)
                has_grown = is_same_file and known.version.size < version.size
                if has_grown and known.head == hash_head(file, known.version.size):
                    decided_frames = known.decided_frames
                    return replace(fresh, n_frames=known.n_frames, decided_frames=decided_frames)
        self._displace(version, known_files, None)
        return fresh

    def keep(self, progress: Progress, *, at_once: bool = False) -> None:
        """Store how far a file was read. ``at_once``: it must also survive a power failure."""
        self._return_to_disk()
        row = _row(progress)
        synchronous = f"PRAGMA synchronous = {'FULL' if at_once else 'NORMAL'}"
        try:
            self._connection.execute(synchronous)
            self._connection.execute(STORE, row)
        except sqlite3.Error as error:
            self._go_on_in_memory(error)
            self._connection.execute(STORE, row)

    def _displace(self, version: Version, known: list[Progress], chosen: Progress | None) -> None:
        """Keep the entry of another file that had this inode, before it is replaced."""
        other = known[0] if known and known[0].version.inode == version.inode else None
        if other is None or other is chosen:
            return
        with contextlib.suppress(sqlite3.Error):  # the next entry reports a disk that fails
            self._connection.execute(DISPLACE, _row(other))
            self._connection.execute(FORGET)

    def _known(self, version: Version, head: str) -> list[Progress]:
        """The file with this inode, then those with equal beginning and size."""
        content = (head, version.size)
        rows = self._rows(
            f"SELECT {COLUMNS} FROM files WHERE inode = ?"  # noqa: S608 - a constant
            f" UNION ALL SELECT * FROM (SELECT {COLUMNS} FROM files"
            "   WHERE head = ? AND size = ? AND inode <> ? LIMIT 100)"
            f" UNION ALL SELECT * FROM (SELECT {COLUMNS} FROM displaced"
            "   WHERE head = ? AND size = ? LIMIT 100)",
            (version.inode, *content, version.inode, *content),
        )
        return [
            Progress(
                Version(inode, size, modified_ns, changed_ns),
                *(head, tail, n_frames, bool(done), decided),
            )
            for inode, size, modified_ns, head, tail, n_frames, done, decided, changed_ns in rows
        ]

    def _rows(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            self._go_on_in_memory(error)
            return self._connection.execute(query, values).fetchall()

    def _select(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """Rows of the ledger. A damaged file is renamed, and its rows are lost."""
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

    def _connect(self, path: Path | None) -> sqlite3.Connection:
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                return open_ledger_file(str(path))
            except sqlite3.DatabaseError as error:
                if not isinstance(error, sqlite3.OperationalError):
                    self._put_aside(error)
                    with contextlib.suppress(sqlite3.Error):
                        return open_ledger_file(str(path))
                self._leave_disk(error)
            except OSError as error:
                self._leave_disk(error)
        return open_ledger_file(":memory:")

    def _go_on_in_memory(self, error: sqlite3.Error) -> None:
        self._leave_disk(error)
        memory = open_ledger_file(":memory:")
        with contextlib.suppress(sqlite3.Error):
            copy_entries(self._connection, memory)
        self._connection.close()
        self._connection = memory

    def _leave_disk(self, error: Exception) -> None:
        self._is_on_disk = False
        self._next_try_s = time.monotonic() + _RETRY_S
        log.error(
            "%s: cannot be used (%s); after a restart the files of the folder are read again",
            self._path,
            error,
        )

    def _return_to_disk(self) -> None:
        """Write the rows in memory to the disk, if the disk accepts them again."""
        path = self._path
        if path is None or self._is_on_disk or time.monotonic() < self._next_try_s:
            return
        self._next_try_s = time.monotonic() + _RETRY_S
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            disk = open_ledger_file(str(path))
        except (sqlite3.Error, OSError):
            return
        try:
            with disk:
                disk.execute("BEGIN IMMEDIATE")
                copy_entries(self._connection, disk)
        except sqlite3.Error:
            disk.close()
            return
        self._connection.close()
        self._connection, self._is_on_disk = disk, True
        log.warning("%s: can be used again", path)


def _row(progress: Progress) -> tuple[object, ...]:
    version = progress.version
    return (
        *(version.inode, version.size, version.modified_ns, progress.head, progress.tail),
        *(progress.n_frames, progress.done, progress.decided_frames, version.changed_ns),
    )
