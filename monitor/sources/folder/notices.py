"""What the system reports as changed below a folder."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchfiles.main import FileChange

log = logging.getLogger(__name__)

_NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "fuse", "afs", "ceph", "gluster", "virtiofs")
_MOUNTS = Path("/proc/self/mountinfo")


class Notices:
    """Paths that have changed, as the system reports them; none on network shares.

    The system reports changes of the folder that was there when the reports began. If its name
    belongs to another folder later, they must begin again.
    """

    def __init__(self, folder: Path, poll_s: float) -> None:
        self._folder = folder
        self._poll_s = poll_s
        self._refused = False
        self._changes: Generator[set[FileChange], None, None] | None = None
        self._watched: tuple[int, int] | None = None

    @property
    def active(self) -> bool:
        """Whether the system reports changes at present."""
        return self._changes is not None

    @property
    def outdated(self) -> bool:
        """Whether reports come, but the name of the folder belongs to another folder now."""
        return self.active and self._watched != _identity(self._folder)

    def begin(self, stop: threading.Event) -> set[Path] | None:
        """Let the system report changes from now on; returns what changed already.

        None if the system cannot do this.
        """
        if self._refused or is_network_share(self._folder):
            return None
        import watchfiles  # noqa: PLC0415 - 5 MB that only folder sources need

        logging.getLogger("watchfiles").setLevel(logging.WARNING)  # otherwise a line for each file
        self._watched = _identity(self._folder)
        try:
            changes = watchfiles.watch(
                self._folder,
                watch_filter=None,
                step=50,
                debounce=200,
                rust_timeout=max(50, int(1000 * min(self._poll_s, 0.4))),
                yield_on_timeout=True,
                stop_event=stop,
                raise_interrupt=False,
            )
            first = next(changes)
        except (StopIteration, OSError, RuntimeError) as error:
            if _identity(self._folder):  # otherwise it was removed at this moment
                self.give_up(f"the system reports no changes ({error})")
            return None
        self._changes = changes
        return _paths(first)

    def wait(self, stop: threading.Event) -> set[Path] | None:
        """The next changes, mostly none; None if the system no longer reports any."""
        if self._changes is None:
            return None
        try:
            return _paths(next(self._changes))
        except (StopIteration, OSError, RuntimeError) as error:
            if not stop.is_set():
                log.warning("%s: reports of changes begin again (%s)", self._folder, error)
            self.close()
            return None

    def give_up(self, why: str) -> None:
        """Stop the reports for ever, because they are not complete; the log says it."""
        self.close()
        self._refused = True
        log.warning("%s: %s; the folder is searched every %g s", self._folder, why, self._poll_s)

    def close(self) -> None:
        """Stop the reports."""
        if self._changes is not None:
            self._changes.close()
            self._changes = None


def _paths(changes: set[FileChange]) -> set[Path]:
    return {Path(name) for _, name in changes}


def _identity(folder: Path) -> tuple[int, int] | None:
    """What a folder is, whatever its name; None where it does not exist."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_network_share(folder: Path, mounts: Callable[[], str] | None = None) -> bool:
    """Whether other computers may change the folder without a report to this one."""
    try:
        text = mounts() if mounts else _MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    target = os.path.realpath(folder)
    best, kind = "", ""
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        parts = fields.split()
        if len(parts) < 5 or not rest:
            continue
        point = parts[4].replace("\\040", " ")
        below = target == point or target.startswith(point.rstrip("/") + "/")
        if below and len(point) >= len(best):
            best, kind = point, rest.split()[0]
    return kind.startswith(_NETWORK_FILE_SYSTEMS)
