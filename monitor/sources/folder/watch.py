"""The recordings of a folder that can be read now, and the parts that cannot be read."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from monitor.audio.recordings import AUDIO_SUFFIXES, files_below, path_mode
from monitor.errors import MissingInputError
from monitor.sources.folder.ledger import Ledger, Version
from monitor.sources.folder.notices import Notices
from monitor.text.escaping import one_line

_FULL_SCAN_S = 60.0
_INCOMPLETE_S = 30.0
"""How long a file that ends too early may take to grow before it counts as truncated."""
_REPORTED_S = 5.0
"""The system reports a new file within this time."""
_SCAN_SHARE = 0.02
"""Largest share of the time for reading a folder that does not report changes."""


@dataclass(slots=True)
class _Pending:
    """A file that is not read yet: its version, and since when."""

    version: Version
    since_s: float
    postponed: bool = False


@dataclass(slots=True)
class Contents:
    """What the folder contains beside recordings."""

    n_recordings: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    """Number of files that are not recordings by their name, by suffix."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Path to reason."""


class FolderWatch:
    """Looks at a folder: at every file at first and now and then, at changed ones at once.

    ``settle_s``: a file whose size and times have not changed for so long is read. Network
    shares give no notice of changes; there every look is at all files, the more rarely the
    longer it takes, at most every ``poll_interval_s``.
    """

    def __init__(
        self, folder: Path, ledger: Ledger, *, settle_s: float, poll_interval_s: float
    ) -> None:
        self.contents = Contents()
        self._folder = folder
        self._ledger = ledger
        self._settle_s = settle_s
        self._poll_s = poll_interval_s
        self._pending: dict[Path, _Pending] = {}
        self._scanned = False
        self._next_scan_s = 0.0
        self._changed: set[Path] = set()
        self._notices = Notices(folder, poll_interval_s)
        self._is_watched = False
        """Whether the system reports all changes since the last look at every file."""
        self._unreported: dict[Path, float] = {}
        """New files that nobody has reported, and when they were found."""

    def ready(self) -> list[tuple[Path, Version]]:
        """The files to read now: at first by path, later by time of change.

        Raises ``MissingInputError`` when the folder is not there.
        """
        try:
            require_folder(self._folder)
        except MissingInputError:
            self._notices.close()
            self._next_scan_s = 0.0
            raise
        begun_s = time.monotonic()
        is_first = not self._scanned
        self._check_notices(begun_s)
        if begun_s >= self._next_scan_s:
            self._scan()
            took_s = time.monotonic() - begun_s
            pause_s = _FULL_SCAN_S if self._notices.active else self._poll_s
            self._next_scan_s = time.monotonic() + max(pause_s, took_s / _SCAN_SHARE)
        else:
            for path in sorted({*self._files_of_changes(), *self._pending}):
                if path.suffix.lower() in AUDIO_SUFFIXES and not _is_hidden(path, self._folder):
                    self._look(path, _status(path)[0], begun_s)
        self._changed.clear()
        now_s = time.monotonic()
        found = [
            (path, pending.version)
            for path, pending in self._pending.items()
            if now_s - pending.since_s >= self._settle_s
        ]
        if not is_first:
            found.sort(key=lambda item: (item[1].modified_ns, item[0]))
        return found

    @property
    def is_settling(self) -> bool:
        """Whether there are files that are not read yet."""
        return bool(self._pending)

    def mark_read(self, path: Path) -> None:
        """This version of the file was read; it is read again when it changes."""
        self._pending.pop(path, None)

    def postpone(self, path: Path) -> bool:
        """Read a file that seems incomplete again later; False if it was postponed before."""
        pending = self._pending.get(path)
        if pending is None or pending.postponed:
            return False
        pending.postponed = True
        pending.since_s = time.monotonic() + _INCOMPLETE_S - self._settle_s
        return True

    def wait(self, stop: threading.Event) -> None:
        """Wait until something may be ready, or ``stop`` is set."""
        timeout_s = self._poll_s
        if self._pending:
            timeout_s = min(timeout_s, max(0.02, self._settle_s / 4))
        changed = self._notices.wait(stop)
        if changed is None:
            stop.wait(timeout_s)
        else:
            self._changed |= changed

    def close(self) -> None:
        """Stop the reports of changes."""
        self._notices.close()

    def begin_notices(self, stop: threading.Event) -> None:
        """Let the system report changes from now on, if it can."""
        if self._notices.outdated:
            self._notices.close()
        if not self._notices.active and is_folder(self._folder):
            changed = self._notices.begin(stop)
            if changed is not None:  # nobody reported what came before
                self._changed |= changed
                self._next_scan_s, self._is_watched = 0.0, False

    def _check_notices(self, now_s: float) -> None:
        """Do without notices if a new file was found and not reported.

        Some file systems report nothing, and folders may be too many to watch all.
        """
        for path in [path for path in self._unreported if self._is_reported(path)]:
            del self._unreported[path]
        late = [path for path, at_s in self._unreported.items() if now_s - at_s >= _REPORTED_S]
        if late and self._notices.active:
            self._notices.give_up(f"the system did not report {one_line(late[0].name)}")
        if late:
            self._unreported.clear()

    def _is_reported(self, path: Path) -> bool:
        """Whether the file or a folder that it is in has changed."""
        return any(one in self._changed for one in (path, *path.parents))

    def _files_of_changes(self) -> Iterator[Path]:
        """What has changed. Of a folder that was moved here, only the folder is reported."""
        for path in self._changed:
            if is_folder(path):
                yield from _files_below(path, Contents())
            else:
                yield path

    def _scan(self) -> None:
        """Check every file."""
        now_s = time.monotonic()
        contents = Contents()
        present: set[Path] = set()
        for path in _files_below(self._folder, contents):
            if path.suffix.lower() in AUDIO_SUFFIXES:
                status, why = _status(path)
                if why:
                    contents.unreadable[str(path)] = why
                    continue
                contents.n_recordings += 1
                present.add(path)
                is_known = path in self._pending or self._is_reported(path)
                self._look(path, status, now_s)
                if self._is_watched and not is_known and path in self._pending:
                    self._unreported[path] = now_s
            else:
                contents.ignored[path.suffix.lower()] += 1
        for path in self._pending.keys() - present:
            del self._pending[path]
        self.contents = contents
        self._scanned, self._is_watched = True, self._notices.active

    def _look(self, path: Path, status: os.stat_result | None, now_s: float) -> None:
        if status is None:  # removed since it was listed
            self._pending.pop(path, None)
            return
        version = Version.of(status)
        pending = self._pending.get(path)
        if pending is not None and pending.version == version:
            return
        if pending is None and self._ledger.is_done(version):
            return
        # An old file is complete at once. A time in the future counts as now.
        age_s = max(0.0, time.time() - status.st_mtime) if not self._scanned else 0.0
        self._pending[path] = _Pending(version, now_s - age_s)


def require_folder(path: Path) -> None:
    """Raise ``MissingInputError`` for a path that is not a folder or cannot be reached."""
    if not stat.S_ISDIR(path_mode(path, "folder")):
        raise MissingInputError(f'{path}: is not a folder; kind = "file" reads one recording')


def is_folder(path: Path) -> bool:
    """Whether a path is a folder that can be reached. ``Path.is_dir`` raises some errors."""
    try:
        require_folder(path)
    except MissingInputError:
        return False
    return True


def _files_below(folder: Path, contents: Contents) -> Iterable[Path]:
    """Files sorted by path, without hidden ones; errors are collected."""

    def note(error: OSError) -> None:
        name = error.filename if isinstance(error.filename, str) else str(folder)
        contents.unreadable[name] = f"cannot be listed: {error.strerror or error}"

    return files_below(folder, note)


def _status(path: Path) -> tuple[os.stat_result | None, str]:
    """The status of a regular file, or why there is none; neither of a file that was removed."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None, "is a link to a file that does not exist" if path.is_symlink() else ""
    except OSError as error:  # a loop of links, or no right to enter the folder
        return None, f"cannot be read: {error.strerror}"
    return (status, "") if stat.S_ISREG(status.st_mode) else (None, "is not a regular file")


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
