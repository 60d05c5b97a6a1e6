"""What was read of which file, kept across restarts.

A file is recognised by its inode, size and times. If one of them differs, it is
recognised by its content: a renamed or moved file is the same file, and a file with new content
is another file. A file that has grown is read from the place where reading stopped.

Another file may get the inode of one that was read, also while both exist: on a copy of the
folder on another disk, on a FAT disk that is connected again, on two disks that are linked into
one folder. The entry of the first file is then displaced, and still used to recognise its content.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from monitor.sources.folder.fingerprint import hash_head, hash_tail
from monitor.sources.folder.ledger_file import COLUMNS
from monitor.sources.folder.ledger_store import LedgerStore

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

    ``path``: where it is kept, None for memory only; see ``LedgerStore``.
    """

    def __init__(self, path: Path | None) -> None:
        self._store = LedgerStore(path)

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def is_done(self, version: Version) -> bool:
        """Whether exactly this version of a file was read to its end."""
        found = self._store.select(
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
        self._store.put(_row(progress), at_once=at_once)

    def _displace(self, version: Version, known: list[Progress], chosen: Progress | None) -> None:
        """Keep the entry of another file that had this inode, before it is replaced."""
        other = known[0] if known and known[0].version.inode == version.inode else None
        if other is None or other is chosen:
            return
        self._store.displace(_row(other))

    def _known(self, version: Version, head: str) -> list[Progress]:
        """The file with this inode, then those with equal beginning and size."""
        content = (head, version.size)
        rows = self._store.rows(
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


def _row(progress: Progress) -> tuple[object, ...]:
    version = progress.version
    return (
        *(version.inode, version.size, version.modified_ns, progress.head, progress.tail),
        *(progress.n_frames, progress.done, progress.decided_frames, version.changed_ns),
    )
