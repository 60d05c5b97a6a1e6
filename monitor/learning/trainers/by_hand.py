"""Has a person train on another computer."""

from __future__ import annotations

import logging
from pathlib import Path

from monitor.learning.trainers.protocol import Job, Result
from monitor.learning.trainers.train_command import empty

log = logging.getLogger(__name__)

_Files = tuple[tuple[str, int, int], ...]


class ByHand:
    """Reports how to train on another computer. The bundle is put into ``incoming``.

    ``incoming`` is a folder beside ``work``.
    """

    def __init__(self, work: Path) -> None:
        self._incoming = work.parent / "incoming"
        self._job: Job | None = None
        self._files_before: _Files = ()
        self._files_tried: _Files = ()

    waits_for_a_person = True

    @property
    def is_running(self) -> bool:
        """See ``Trainer``."""
        return self._job is not None

    @property
    def advice(self) -> str:
        """See ``Trainer``."""
        if self._job is None:
            return ""
        return (
            f"training needs another computer: copy {self._job.pieces} to a computer with the "
            "extra 'train', run `auscult train audio pieces --out new.bundle "
            f"--false-alarms-per-week {self._job.per_week:g}`, copy new.bundle to {self._incoming}"
        )

    def start(self, job: Job) -> None:
        """See ``Trainer``."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        if self._job is None:
            self._job = job
            log.warning("%s", self.advice)

    def poll(self) -> Result | None:
        """See ``Trainer``."""
        found = sorted(self._incoming.glob("*/bundle.json")) if self._job else []
        if not found:
            return None
        files, before = _files(found[0].parent), self._files_before
        self._files_before = files
        if files != before or files == self._files_tried:  # it is being copied, or was refused
            return None
        self._files_tried = files
        return Result(found[0].parent)

    def taken(self) -> None:
        """The bundle that was put into ``incoming`` is in use: empty this folder."""
        self._job = None
        empty(self._incoming)

    def stop(self) -> None:
        """See ``Trainer``."""
        self._job = None

    def close(self) -> None:
        """See ``Trainer``."""


def _files(folder: Path) -> _Files:
    """Name, size and time of every file of a bundle."""
    found = []
    for path in sorted(folder.iterdir()):
        status = path.stat()
        found.append((path.name, status.st_size, status.st_mtime_ns))
    return tuple(found)
