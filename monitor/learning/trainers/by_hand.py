"""Has a person train on another computer."""

from __future__ import annotations

import logging
import os
from itertools import count
from pathlib import Path

from monitor.learning.trainers.protocol import Job, Result
from monitor.learning.trainers.train_command import empty

log = logging.getLogger(__name__)

_Files = tuple[tuple[str, int, int], ...]
_USED = ".used-"
"""The beginning of the names of bundles that are in use, but that the service may not delete."""


class ByHand:
    """Reports how to train on another computer. The bundle is put into ``incoming``.

    ``incoming`` is a folder beside ``work``.
    """

    def __init__(self, work: Path) -> None:
        self._incoming = work.parent / "incoming"
        self._job: Job | None = None
        self._files_before: _Files = ()
        self._files_tried: _Files = ()
        self._unreadable: Path | None = None

    can_start = True
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
        if self._unreadable is not None:
            return (
                f"{self._unreadable} cannot be read by the service: run "
                f"`sudo chmod -R a+rX {self._unreadable}`"
            )
        folders, confirmed = self._job.pieces, ""
        if self._job.confirmed:
            folders += f" and {self._job.confirmed}"
            confirmed = f" --confirmed {Path(self._job.confirmed).name}"
        return (
            f"training needs another computer: copy {folders} to a computer with the "
            f"extra 'train', run `auscult train audio pieces{confirmed} --out new.bundle "
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
        self._unreadable = None
        if self._job is None:
            return None
        folders = [path for path in sorted(self._incoming.iterdir()) if path.is_dir()]
        for folder in folders:
            if folder.name.startswith(_USED):
                continue
            if not _is_readable(folder):
                self._unreadable = folder
            elif (folder / "bundle.json").exists():
                return self._result(folder)
        return None

    def _result(self, folder: Path) -> Result | None:
        files, before = _files(folder), self._files_before
        self._files_before = files
        if files != before or files == self._files_tried:  # it is being copied, or was refused
            return None
        self._files_tried = files
        return Result(folder)

    def taken(self) -> None:
        """The bundle that was put into ``incoming`` is in use: empty this folder.

        What another user has put there, the service may only rename.
        """
        self._job = None
        empty(self._incoming)
        for path in list(self._incoming.iterdir()):
            if not path.name.startswith(_USED):
                names = (self._incoming / f"{_USED}{number}" for number in count(1))
                path.rename(next(name for name in names if not name.exists()))

    def stop(self) -> None:
        """See ``Trainer``."""
        self._job = None

    def close(self) -> None:
        """See ``Trainer``."""


def _is_readable(folder: Path) -> bool:
    if not os.access(folder, os.R_OK | os.X_OK):
        return False
    return all(os.access(path, os.R_OK) for path in folder.iterdir())


def _files(folder: Path) -> _Files:
    """Name, size and time of every file of a bundle."""
    found = []
    for path in sorted(folder.iterdir()):
        status = path.stat()
        found.append((path.name, status.st_size, status.st_mtime_ns))
    return tuple(found)
