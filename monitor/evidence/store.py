"""Pieces of evidence on the disk, within their limits.

A piece exists from the moment when its metadata has its name; that is the last file to be written
and the first to be removed.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.durable import sync
from monitor.evidence.inventory import BLOCK_BYTES, StoredPiece, space, take_inventory
from monitor.evidence.names import LARGEST_METADATA_BYTES, METADATA, NEW, PARTIAL, SOUND
from monitor.evidence.retention import EvidenceLostError, Kept, Retention, is_healthy_sound
from monitor.evidence.running_time import RunningTime
from monitor.evidence.settings import EvidenceSettings
from monitor.text.json_objects import json_object
from monitor.text.regular_files import read_regular

_STATE_FILE = "state.json"


class EvidenceStore:
    """The folder ``evidence``. Used by one thread, except ``running_time``.

    ``is_labelled``: whether an operator has labelled an alert.
    """

    def __init__(
        self,
        folder: Path,
        settings: EvidenceSettings,
        is_labelled: Callable[[str], bool] = lambda _alert_id: False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.folder = folder
        self.running_time = RunningTime(folder / _STATE_FILE, clock)
        self.retention = Retention(folder, settings, is_labelled, self.running_time)

    def open(self) -> list[StoredPiece]:
        """Look at the folder, and remove what belongs to no piece, or is damaged.

        Returns the pieces that a killed process has begun: complete them with ``add``, or
        ``discard`` them. Raises ``OSError`` if the folder cannot be used.
        """
        self._make_folder()
        retention = self.retention
        is_time_known = self.running_time.load()
        with contextlib.suppress(TypeError, ValueError):
            retention.evicted = int(self.running_time.counts.get("evicted", 0))
        inventory = retention.look()
        if not is_time_known:
            times_s = (one.at_s for one in retention.kept.values())
            self.running_time.is_at_least(max(times_s, default=0.0))
        begun = []
        for piece in inventory.pieces.values():
            if piece.is_journal and not piece.is_whole:
                begun.append(piece)
            elif not piece.is_whole or not retention.kept[piece.key].machine:
                retention.try_to_remove(piece)
            else:
                self.discard(*piece.key)
        self.sweep()
        return begun

    def sweep(self) -> None:
        """Delete what is too old, or above the limit of space. Raises ``OSError``."""
        self._make_folder()
        self.retention.sweep()
        self.save_time()

    def save_time(self) -> None:
        """Keep the running time. Raises ``OSError``."""
        self.running_time.save({"evicted": self.retention.evicted})

    def kept_times(self) -> dict[str, list[float]]:
        """The running times at which the pieces of alerts were kept, by machine."""
        found: dict[str, list[float]] = {}
        for (folder, _), kept in self.retention.kept.items():
            if not is_healthy_sound(folder):
                found.setdefault(kept.machine, []).append(kept.at_s)
        return found

    def kept_s(self, folder: str, stem: str) -> float | None:
        """The running time at which a piece was kept; None if it is not there."""
        kept = self.retention.kept.get((folder, stem))
        return kept.at_s if kept is not None else None

    def bundle_of(self, folder: str, stem: str) -> str:
        """The SHA-256 of the bundle that judged a piece; empty if its metadata are damaged."""
        return str(self.metadata(folder, stem).get("bundle_sha256", ""))

    def metadata(self, folder: str, stem: str) -> dict[str, Any]:
        """The metadata of a piece; empty if they are missing or damaged."""
        try:
            return _read(self.folder / folder / f"{stem}.{METADATA}")
        except (OSError, ValueError):
            return {}

    def has(self, alert_id: str, number: int) -> bool:
        """Whether the alert has a piece with this number."""
        return any(
            folder == alert_id and stem.partition("-")[0] == str(number)
            for folder, stem in self.retention.kept
        )

    def begin(self, folder: str, stem: str, files: Mapping[str, bytes]) -> None:
        """Write the files of a piece that is not complete. Raises ``EvidenceLostError``.

        If the process is killed, ``open`` of the next one returns it.
        """
        with _disk_errors():
            self._make_folder()
            self._write(folder, stem, {kind + PARTIAL: data for kind, data in files.items()})

    def add(
        self, folder: str, stem: str, files: Mapping[str, bytes], metadata: Mapping[str, Any]
    ) -> None:
        """Write a piece, and remove what ``begin`` wrote. Raises ``EvidenceLostError``.

        A piece with this name is replaced.
        """
        kept = Kept(self.running_time.now_s(), str(metadata["machine"]))
        described = {**metadata, "kept_run_s": round(kept.at_s, 3)}
        whole = {**files, METADATA: _encoded(described)}
        with _disk_errors():
            self._make_folder()
            known = take_inventory(self.folder).pieces.get((folder, stem))
            if known is not None and known.is_whole:
                self.retention.remove(known)
            try:
                self._write(folder, stem, whole)
            except EvidenceLostError:
                self.discard(folder, stem)  # it takes space too
                self._write(folder, stem, whole)
        self.retention.kept[folder, stem] = kept
        self.discard(folder, stem)

    def describe(self, folder: str, stem: str, more: Mapping[str, Any]) -> None:
        """Add to the metadata of a piece that is there. Raises ``EvidenceLostError``.

        Nothing happens if the piece was deleted, or its metadata are damaged.
        """
        path = self.folder / folder / f"{stem}.{METADATA}"
        with _disk_errors():
            try:
                content = _encoded({**_read(path), **more})
            except (FileNotFoundError, ValueError):
                return
            self.retention.claim(space(len(content)))
            if path.exists():  # it may have been deleted to free space
                self._write_claimed(folder, stem, {METADATA: content})

    def discard(self, folder: str, stem: str) -> None:
        """Remove what ``begin`` wrote, and metadata that were not completed."""
        with contextlib.suppress(OSError):
            for path in list((self.folder / folder).iterdir()):
                if path.name.startswith(f"{stem}.") and path.name.endswith((PARTIAL, NEW)):
                    path.unlink(missing_ok=True)

    def read_begun(self, piece: StoredPiece) -> tuple[dict[str, Any], Path]:
        """The metadata of a piece that was begun, and the path of its sound. Raises ``OSError``.

        Raises ``ValueError`` if the metadata are damaged.
        """
        folder, stem = piece.key
        base = self.folder / folder
        metadata = _read(base / f"{stem}.{METADATA}{PARTIAL}")
        return metadata, base / f"{stem}.{SOUND}{PARTIAL}"

    def _make_folder(self) -> None:
        """Make the folder again if somebody has deleted it."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _write(self, folder: str, stem: str, files: Mapping[str, bytes]) -> None:
        """Write files in their order, the metadata last. After an error, none of them is left.

        Raises ``EvidenceLostError`` and ``OSError``.
        """
        n_folders = folder.count("/") + 1  # counted although they may be there
        needed = sum(space(len(data)) for data in files.values()) + BLOCK_BYTES * n_folders
        self.retention.claim(needed)
        self._write_claimed(folder, stem, files)

    def _write_claimed(self, folder: str, stem: str, files: Mapping[str, bytes]) -> None:
        """The same, where there is space. Raises ``OSError``."""
        base = self.folder / folder
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
        sync(self.folder)
        written: list[Path] = []
        try:
            for kind, data in files.items():
                path = base / f"{stem}.{kind}"
                temporary = base / f"{stem}.{METADATA}{NEW}" if kind == METADATA else path
                written.append(temporary)
                _write_file(temporary, data)
                if temporary != path:
                    sync(base)
                    temporary.replace(path)
            sync(base)
        except OSError:
            for path in written:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it is not empty
                base.rmdir()
            raise


def _read(path: Path) -> dict[str, Any]:
    """Metadata. Raises ``OSError``, and ``ValueError`` if they are damaged."""
    return json_object(read_regular(path, LARGEST_METADATA_BYTES, follow_links=False))


def _encoded(metadata: Mapping[str, Any]) -> bytes:
    return json.dumps(metadata, allow_nan=False, separators=(",", ":")).encode()


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    """An error of the disk means that the piece is lost."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise EvidenceLostError(f"the disk does not accept it: {reason}") from error


def _write_file(path: Path, data: bytes) -> None:
    """Write a file that only this user can read, and wait until it is on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
