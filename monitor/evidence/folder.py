"""Reads the evidence of alerts: for the web page, notifications, and the tests.

Without numpy, and without a lock: the daemon may write and remove pieces at the same time. A piece
exists from the moment when its metadata has its name.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from monitor.evidence.names import (
    ARRAYS,
    HEALTHY,
    LARGEST_METADATA_BYTES,
    METADATA,
    PICTURE,
    SOUND,
    healthy_state_of,
    healthy_stem,
    is_alert_id,
    is_machine_id,
    piece_of,
    split_id,
    stays,
)
from monitor.text.json_objects import json_object
from monitor.text.regular_files import read_regular

_TEXTS = ("machine", "moment", "at", "starts_at")


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of evidence. ``docs/evidence.md`` explains every value of ``metadata``.

    ``sound_path``: FLAC. ``arrays_path``: the images of ``images``. ``picture_path``: PNG. Each is
    None if the piece has no such file.
    """

    metadata: dict[str, Any]
    sound_path: Path | None
    arrays_path: Path | None
    picture_path: Path | None

    @property
    def evidence_id(self) -> str:
        """The id of the piece; empty for a healthy clip."""
        return str(self.metadata.get("evidence_id") or "")

    def images(self) -> dict[str, memoryview]:
        """``log_mel``, ``reconstruction`` and ``residual``, as far as the piece has them.

        Each one has ``n_mels`` rows, the lowest band first, of ``n_frames`` bytes. In the first
        two, 0 is ``low_db`` and 255 is ``high_db``. In the residual, 128 is 0 dB, and 1 and 255 are
        ``-residual_db`` and ``residual_db``. Empty if the file is missing or damaged.
        """
        about = self.metadata.get("log_mel")
        if not isinstance(about, dict) or self.arrays_path is None:
            return {}
        names, n_mels, n_frames = (about.get(key) for key in ("images", "n_mels", "n_frames"))
        if not isinstance(names, list) or not _is_count(n_mels) or not _is_count(n_frames):
            return {}
        try:
            size = n_mels * n_frames
            content = memoryview(read_regular(self.arrays_path, size * len(names)))
        except (OSError, ValueError):
            return {}
        if len(content) != size * len(names):
            return {}
        return {str(name): content[i * size : (i + 1) * size] for i, name in enumerate(names)}


class EvidenceFolder:
    """The folder ``evidence`` of the daemon's state folder.

    A folder that does not exist has no pieces. Ids that are not well-formed name nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def pieces(self, alert_id: str) -> list[Piece]:
        """The pieces of an alert, in their order."""
        if not is_alert_id(alert_id):
            return []
        found = [
            (name[0].number, piece)
            for entry in _entries(self.path / alert_id)
            if (name := piece_of(entry.name)) is not None
            and name[1] == METADATA
            and (piece := _read(Path(entry.path))) is not None
        ]
        return [piece for _, piece in sorted(found, key=lambda item: item[0])]

    def piece(self, evidence_id: str) -> Piece | None:
        """The piece with this id; None if there is none, or none any more."""
        parts = split_id(evidence_id)
        if parts is None:
            return None
        for entry in _entries(self.path / parts[0]):
            name = piece_of(entry.name)
            if name is not None and name[1] == METADATA and name[0].number == parts[1]:
                return _read(Path(entry.path))
        return None

    def healthy(self, machine: str, operation: str) -> Piece | None:
        """Healthy sound of a machine in an operating state, for comparison."""
        if not is_machine_id(machine):
            return None
        return _read(self.path / HEALTHY / machine / f"{healthy_stem(operation)}.{METADATA}")

    def healthy_operations(self, machine: str) -> list[str]:
        """The operating states of which there is healthy sound."""
        if not is_machine_id(machine):
            return []
        return sorted({operation for operation, _ in self._healthy(machine)})

    def staying_healthy(self, machine: str) -> list[Piece]:
        """The healthy sound of a machine that is not replaced each day, in every state."""
        if not is_machine_id(machine):
            return []
        paths = (path for _, path in sorted(self._healthy(machine)) if stays(path.stem))
        return [piece for path in paths if (piece := _read(path)) is not None]

    def _healthy(self, machine: str) -> Iterator[tuple[str, Path]]:
        """The operating state and the metadata of each healthy piece."""
        for entry in _entries(self.path / HEALTHY / machine):
            state = healthy_state_of(entry.name)
            if state is not None and state[1] == METADATA:
                yield state[0], Path(entry.path)

    def total_bytes(self) -> int:
        """The size of all files in the folder."""
        return sum(_sizes(self.path))


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and value > 0


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _sizes(folder: Path) -> Iterator[int]:
    for entry in _entries(folder):
        with contextlib.suppress(OSError):  # it was removed meanwhile
            if entry.is_dir(follow_symlinks=False):
                yield from _sizes(Path(entry.path))
            else:
                yield entry.stat(follow_symlinks=False).st_size


def _read(path: Path) -> Piece | None:
    """A piece by its metadata; None if they are missing or damaged."""
    try:
        metadata = json_object(read_regular(path, LARGEST_METADATA_BYTES, follow_links=False))
    except (OSError, ValueError):
        return None
    if not all(isinstance(metadata.get(key), str) for key in _TEXTS):
        return None
    sound, arrays, picture = (
        file if (file := path.with_suffix(f".{kind}")).is_file() else None
        for kind in (SOUND, ARRAYS, PICTURE)
    )
    return Piece(metadata, sound, arrays, picture)
