"""The pieces of sound that a machine is learned from, on the disk.

A folder ``pieces`` with FLAC files, a folder ``aside`` with those that do not fit, and an index
in JSON lines. A piece counts when its file has its name, so a kill or power cut loses at most the
piece that is being written. What is known of a piece without a line is found again.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import soundfile
from pydantic import TypeAdapter, ValidationError

from monitor.domain import FloatArray
from monitor.durable import replace_content, sync
from monitor.text.escaping import one_line
from monitor.text.regular_files import MOST_STATE_BYTES, read_regular

log = logging.getLogger(__name__)

SoundClass = Literal["running", "quiet"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece, without its sound.

    ``heard_s``: its start, in seconds of received sound since the learning began. ``day``: of
    the learning, from 0. ``hour``: of the local day, 0 to 23. ``kind``: whether the machine ran,
    or was quiet or off. ``ratio``: the mean live score as a share of the alarm threshold, by a
    bundle that was not trained on the piece; None where there was none. ``aside``: why the piece
    is not learned; empty if it is.
    """

    name: str
    recorded_at: str
    heard_s: float
    day: int
    hour: int
    kind: SoundClass
    level_dbfs: float
    seconds: float
    n_bytes: int = 0
    ratio: float | None = None
    aside: str = ""


@cache
def _piece() -> TypeAdapter[Piece]:
    return TypeAdapter(Piece)


class PieceStore:
    """The pieces of one machine. Not safe to use from two threads at the same time.

    Raises ``OSError`` where the folder cannot be made or read.
    """

    def __init__(self, folder: Path) -> None:
        self.accepted_folder = folder / "pieces"
        self._aside_folder = folder / "aside"
        self._unknown_folder = folder / "unknown"
        self._index = folder / "pieces.jsonl"
        for one in (self.accepted_folder, self._aside_folder):
            one.mkdir(parents=True, exist_ok=True)
        self._pieces: dict[str, Piece] = {}
        self._recover({piece.name: piece for piece in self._read_index()})

    @property
    def pieces(self) -> list[Piece]:
        """All pieces, the oldest first."""
        return list(self._pieces.values())

    @property
    def accepted(self) -> list[Piece]:
        """The pieces that are learned."""
        return [piece for piece in self._pieces.values() if not piece.aside]

    @property
    def n_bytes(self) -> int:
        """The size of all pieces on the disk."""
        return sum(piece.n_bytes for piece in self._pieces.values())

    def add(self, samples: FloatArray, sample_rate_hz: int, piece: Piece) -> Piece:
        """Write a piece. Raises ``OSError`` where the disk is full or fails; nothing is left."""
        final = self.accepted_folder / piece.name
        partial = final.with_suffix(".part")
        try:
            with partial.open("wb") as file:
                _write_flac(file.fileno(), samples, sample_rate_hz, piece)
                os.fsync(file.fileno())
            piece = replace(piece, n_bytes=partial.stat().st_size)
            partial.rename(final)
            sync(self.accepted_folder)
            self._append({"piece": asdict(piece)})
        except (OSError, soundfile.LibsndfileError) as error:
            partial.unlink(missing_ok=True)
            final.unlink(missing_ok=True)
            raise error if isinstance(error, OSError) else OSError(str(error)) from error
        self._pieces[piece.name] = piece
        return piece

    def remove(self, names: Iterable[str]) -> None:
        """Remove pieces; the index is written again."""
        for name in names:
            piece = self._pieces.pop(name)
            self._path(piece).unlink(missing_ok=True)
        self._write_index()

    def forget_lost(self) -> list[str]:
        """Forget the pieces whose files somebody has removed; their names.

        What somebody has put into the folders is moved, so that it is not learned.
        """
        before = self._pieces
        self._recover(before)
        return [name for name in before if name not in self._pieces]

    def set_aside(self, reasons: dict[str, str]) -> None:
        """Set exactly these pieces aside, with a reason for each, and use all others again.

        Call ``forget_lost`` before.
        """
        for piece in self.pieces:
            changed = replace(piece, aside=reasons.get(piece.name, ""))
            if bool(changed.aside) != bool(piece.aside):
                self._path(piece).replace(self._path(changed))
            self._pieces[piece.name] = changed
        self._write_index()

    def change(self, pieces: Iterable[Piece]) -> None:
        """Replace what is known of pieces, except their sound and whether they are aside."""
        for piece in pieces:
            self._pieces[piece.name] = replace(piece, aside=self._pieces[piece.name].aside)
        self._write_index()

    def clear(self) -> None:
        """Remove all pieces."""
        self.remove(list(self._pieces))

    def _path(self, piece: Piece) -> Path:
        return (self._aside_folder if piece.aside else self.accepted_folder) / piece.name

    def _append(self, entry: dict[str, object]) -> None:
        line = (json.dumps(entry) + "\n").encode()
        with self._index.open("ab", buffering=0) as file:
            begin = file.tell()
            try:
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:  # half a line would damage the next one
                file.truncate(begin)
                raise

    def _write_index(self) -> None:
        lines = [json.dumps({"piece": asdict(piece)}) + "\n" for piece in self._pieces.values()]
        replace_content(self._index, "".join(lines).encode())

    def _recover(self, known: dict[str, Piece]) -> None:
        """The folders decide which pieces are there and which are aside."""
        self._pieces = {}
        unknown = []
        for folder in (self.accepted_folder, self._aside_folder):
            for path in sorted(folder.iterdir()):
                if path.name in known:
                    is_aside = folder == self._aside_folder
                    aside = (known[path.name].aside or "set aside") if is_aside else ""
                    self._pieces[path.name] = replace(known[path.name], aside=aside)
                elif path.suffix == ".part" and path.is_file():  # the daemon was killed
                    path.unlink()
                else:
                    unknown.append(path)
        for path in unknown:
            self._take_up(path)
        self._pieces = dict(sorted(self._pieces.items(), key=lambda item: item[1].heard_s))
        if self._pieces or self._index.exists():
            self._write_index()

    def _take_up(self, path: Path) -> None:
        """Use a piece without a line, by its comment. Put anything else into ``unknown``."""
        if (piece := _read_comment(path)) is not None:
            aside = "set aside" if path.parent == self._aside_folder else ""
            self._pieces[path.name] = replace(piece, n_bytes=path.stat().st_size, aside=aside)
            return
        self._unknown_folder.mkdir(exist_ok=True)
        number = sum(1 for _ in self._unknown_folder.iterdir())
        moved = self._unknown_folder / f"{number}-{path.name[-200:]}"
        path.rename(moved)
        log.warning("%s is not a piece of sound: moved to %s", *map(one_line, (path, moved)))

    def _read_index(self) -> Iterable[Piece]:
        try:
            lines = read_regular(self._index, MOST_STATE_BYTES).splitlines()
        except FileNotFoundError:
            return
        except ValueError as error:
            log.warning("%s", error)
            return
        for line in lines:
            try:
                yield _piece().validate_python(json.loads(line)["piece"])
            except (ValueError, KeyError, TypeError, ValidationError):
                log.warning("%s: a line is damaged and ignored", self._index)


def _write_flac(descriptor: int, samples: FloatArray, sample_rate_hz: int, piece: Piece) -> None:
    """Write a piece that also says in a comment what is known of it.

    With a Python file, soundfile would need memory that is writable and executable.
    """
    with soundfile.SoundFile(
        descriptor, "w", sample_rate_hz, 1, "PCM_24", format="FLAC", closefd=False
    ) as file:
        file.comment = json.dumps(asdict(piece))
        file.write(samples)


def _read_comment(path: Path) -> Piece | None:
    """What is known of a piece, by its file; None if this is no piece."""
    try:
        with soundfile.SoundFile(path) as file:
            piece = _piece().validate_json(file.comment)
    except (OSError, ValueError, TypeError, soundfile.LibsndfileError):
        return None
    return piece if piece.name == path.name else None
