"""What is in the folder of evidence, and what must go first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from monitor.evidence.names import (
    HEALTHY,
    METADATA,
    NEW,
    PARTIAL,
    healthy_state_of,
    is_alert_id,
    is_machine_id,
    piece_of,
    stays,
)

BLOCK_BYTES = 4096
"""Files and folders take whole blocks of the disk."""


def space(n_bytes: int) -> int:
    """The space that a file of this size takes on the disk."""
    return -(-n_bytes // BLOCK_BYTES) * BLOCK_BYTES


@dataclass(slots=True)
class StoredPiece:
    """The files of one piece, or of one that was not completed.

    ``key``: its folder below the folder of evidence, and the name of its files without their
    ending. ``kept_s``: the running time at which it was kept; None if that is not known yet.
    """

    key: tuple[str, str]
    files: list[Path] = field(default_factory=list)
    n_bytes: int = 0
    is_whole: bool = False
    is_journal: bool = False
    kept_s: float | None = None

    @property
    def alert_id(self) -> str:
        """The alert; empty for a healthy clip."""
        return "" if self.key[0].startswith(HEALTHY) else self.key[0]


@dataclass(slots=True)
class Inventory:
    """Everything in the folder. ``n_bytes``: the space of all files and folders."""

    pieces: dict[tuple[str, str], StoredPiece] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)
    n_bytes: int = 0


def take_inventory(root: Path) -> Inventory:
    """Look at every file in the folder. Raises ``OSError`` if it cannot be read.

    Files with other names count, and belong to no piece.
    """
    found = Inventory(n_bytes=BLOCK_BYTES)
    for folder, name, path, size in _files(root, found):
        found.n_bytes += space(size)
        stem, is_part = _stem_of(folder, name)
        if not stem:
            continue
        piece = found.pieces.setdefault((folder, stem), StoredPiece((folder, stem)))
        piece.files.append(path)
        piece.n_bytes += space(size)
        if path.name == f"{stem}.{METADATA}":
            piece.is_whole = True
        elif is_part and path.name == f"{stem}.{METADATA}{PARTIAL}":
            piece.is_journal = True
    return found


def _files(root: Path, found: Inventory) -> Iterator[tuple[str, str, Path, int]]:
    """Folder, name, path and size of each file. Folders are added to ``found``."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                path = Path(entry.path)
                below = f"{folder}/{entry.name}" if folder else entry.name
                try:
                    if entry.is_dir(follow_symlinks=False):
                        found.folders.append(path)
                        found.n_bytes += BLOCK_BYTES
                        waiting.append(below)
                    else:
                        yield folder, entry.name, path, entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:  # somebody removed it meanwhile
                    continue


def _stem_of(folder: str, name: str) -> tuple[str, bool]:
    """The stem of a file of a piece, empty for other files; whether it is being written."""
    plain = name.removesuffix(PARTIAL).removesuffix(NEW)
    parts = folder.split("/")
    if len(parts) == 1 and is_alert_id(folder):
        piece = piece_of(plain)
        stem = piece[0].stem if piece is not None else ""
    elif len(parts) == 2 and parts[0] == HEALTHY and is_machine_id(parts[1]):
        stem = plain.rpartition(".")[0] if healthy_state_of(plain) is not None else ""
    else:
        stem = ""
    return stem, plain != name


def in_order_of_deletion(
    pieces: Iterable[StoredPiece], is_labelled: Callable[[str], bool]
) -> list[StoredPiece]:
    """The oldest first; those of labelled alerts, and healthy sound that stays, after all others.

    The space of healthy sound is limited when it is written.
    """

    def rank(piece: StoredPiece) -> tuple[bool, float]:
        alert_id = piece.alert_id
        is_last = is_labelled(alert_id) if alert_id else stays(piece.key[1])
        return is_last, piece.kept_s or 0.0

    return sorted(pieces, key=rank)
