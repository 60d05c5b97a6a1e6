"""The limits of the folder of evidence: space, age, and free space of the disk."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from monitor.evidence.inventory import (
    BLOCK_BYTES,
    Inventory,
    StoredPiece,
    in_order_of_deletion,
    take_inventory,
)
from monitor.evidence.names import HEALTHY, LARGEST_METADATA_BYTES, METADATA
from monitor.evidence.running_time import RunningTime
from monitor.evidence.settings import EvidenceSettings
from monitor.text.escaping import one_line
from monitor.text.json_objects import json_object
from monitor.text.regular_files import read_regular

log = logging.getLogger(__name__)

_DAY_S = 86_400.0
_LONGEST_S = 1e10
"""Three centuries. A longer running time is damage."""
_UNREADABLE = "?"
"""The machine of a piece whose metadata cannot be read."""
_STATE_BYTES = 2 * BLOCK_BYTES
"""The file of the running time, also while it is replaced."""


class EvidenceLostError(Exception):
    """A piece cannot be kept. The message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Kept:
    """When a piece was kept, by the running time, and of which machine.

    ``machine`` is empty if the metadata are damaged.
    """

    at_s: float
    machine: str


class Retention:
    """Deletes pieces, so that the folder stays within its limits. Used by one thread.

    ``kept``: all pieces of the newest look at the folder. ``evicted``: pieces that were deleted
    because of a limit. ``is_labelled``: whether an operator has labelled an alert: its pieces are
    the last to go. Every method may raise ``OSError``.
    """

    LEAST_FREE_BYTES: ClassVar[int] = 50_000_000
    LEAST_FREE_SHARE: ClassVar[float] = 0.05
    """So much of the disk stays free for others, whichever is less."""

    def __init__(
        self,
        folder: Path,
        settings: EvidenceSettings,
        is_labelled: Callable[[str], bool],
        running_time: RunningTime,
    ) -> None:
        self.settings = settings
        self.kept: dict[tuple[str, str], Kept] = {}
        self.n_bytes = 0
        self.evicted = 0
        self._folder = folder
        self._is_labelled = is_labelled
        self._running_time = running_time
        self._stuck: set[tuple[str, str]] = set()
        """Pieces that cannot be removed."""

    def look(self) -> Inventory:
        """What is in the folder now, with the times at which the pieces were kept."""
        inventory = take_inventory(self._folder)
        whole = {key for key, piece in inventory.pieces.items() if piece.is_whole}
        for key in whole - self.kept.keys():
            self.kept[key] = self._read(key)
        for key in self.kept.keys() - whole:
            del self.kept[key]
        for key in whole:
            inventory.pieces[key].kept_s = self.kept[key].at_s
        self.n_bytes = inventory.n_bytes
        return inventory

    def claim(self, n_bytes: int) -> None:
        """Free space for new files. Raises ``EvidenceLostError`` if there is none."""
        inventory = self.look()
        self._free_space(n_bytes, inventory)
        if inventory.n_bytes + n_bytes > self._most_bytes:
            raise EvidenceLostError(
                f"it needs {_mb(n_bytes)} MB, and evidence.max_mb = {self.settings.max_mb:g} does "
                f"not allow more than the {_mb(inventory.n_bytes)} MB that cannot be deleted"
            )
        disk = os.statvfs(self._folder)
        free = disk.f_bavail * disk.f_frsize
        least = min(self.LEAST_FREE_BYTES, self.LEAST_FREE_SHARE * disk.f_blocks * disk.f_frsize)
        if free - n_bytes < least:
            raise EvidenceLostError(
                f"the disk is nearly full: {_mb(free)} MB are free, and {_mb(least)} MB stay free"
            )

    def sweep(self) -> None:
        """Delete what is too old, or above the limit of space."""
        inventory = self.look()
        oldest_s = self._running_time.now_s() - self.settings.max_age_days * _DAY_S
        for piece in list(inventory.pieces.values()):
            if piece.kept_s is not None and piece.kept_s < oldest_s:
                self._evict(piece, inventory, "it is older than evidence.max_age_days")
        self._free_space(0, inventory)
        for folder in sorted(inventory.folders, reverse=True):
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()

    def remove(self, piece: StoredPiece) -> None:
        """Remove all files of a piece, the metadata first."""
        for path in sorted(piece.files, key=lambda path: path.suffix != f".{METADATA}"):
            path.unlink(missing_ok=True)
        self.kept.pop(piece.key, None)
        with contextlib.suppress(OSError):  # it is not empty
            (self._folder / piece.key[0]).rmdir()

    def try_to_remove(self, piece: StoredPiece) -> bool:
        """Remove a piece, or log why that is not possible: others can still be removed."""
        try:
            self.remove(piece)
        except OSError as error:
            if piece.key not in self._stuck:
                self._stuck.add(piece.key)
                log.warning("evidence cannot be deleted: %s", one_line(error))
            return False
        return True

    @property
    def _most_bytes(self) -> int:
        return self.settings.max_bytes - _STATE_BYTES

    def _free_space(self, n_bytes: int, inventory: Inventory) -> None:
        """Delete pieces until so many bytes fit, or no piece is left."""
        whole = [piece for piece in inventory.pieces.values() if piece.is_whole]
        for piece in in_order_of_deletion(whole, self._is_labelled):
            if inventory.n_bytes + n_bytes <= self._most_bytes:
                return
            self._evict(piece, inventory, "evidence.max_mb is reached")

    def _evict(self, piece: StoredPiece, inventory: Inventory, why: str) -> None:
        if not self.try_to_remove(piece):
            return
        log.info(
            "evidence deleted, because %s",
            why,
            # With the alert, no line is left out as a repetition.
            extra={"alert_id": piece.alert_id, "evidence": "/".join(piece.key)},
        )
        del inventory.pieces[piece.key]
        inventory.n_bytes -= piece.n_bytes
        self.n_bytes = inventory.n_bytes
        self.evicted += 1

    def _read(self, key: tuple[str, str]) -> Kept:
        """When a piece was kept; now, if its metadata do not state it."""
        path = self._folder / key[0] / f"{key[1]}.{METADATA}"
        now_s = self._running_time.now_s()
        try:
            metadata = json_object(read_regular(path, LARGEST_METADATA_BYTES, follow_links=False))
            kept = Kept(float(metadata["kept_run_s"]), str(metadata["machine"]))
        except OSError:  # it may be a link, or of another user: it is not ours to delete
            return Kept(now_s, _UNREADABLE)
        except (ValueError, KeyError, TypeError):
            return Kept(now_s, "")
        return kept if 0.0 <= kept.at_s < _LONGEST_S else Kept(now_s, kept.machine)


def is_healthy_sound(folder: str) -> bool:
    """Whether a folder has healthy sound, and not the pieces of an alert."""
    return folder.partition("/")[0] == HEALTHY


def _mb(n_bytes: float) -> str:
    return f"{n_bytes / 1_000_000:.1f}"
