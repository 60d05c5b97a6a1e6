"""A folder that receives recordings."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from monitor.audio.files import read_blocks
from monitor.audio.recordings import AUDIO_SUFFIXES, recording_files
from monitor.domain import AudioBlock
from monitor.errors import BadInputError, MissingInputError
from monitor.sources.protocol import BACK, SourceItem, unavailable
from monitor.sources.settings import FolderSettings

log = logging.getLogger(__name__)

_FORGOTTEN_AFTER_S = 3600.0


@dataclass(frozen=True, slots=True)
class _Version:
    """Size and time of a file."""

    size: int
    modified_ns: int


@dataclass(slots=True)
class _Watched:
    """A file: its version, since when, when it was last seen, and whether it was processed."""

    version: _Version
    since_s: float
    seen_s: float
    processed: bool = False


class FolderWatch:
    """Finds the recordings of a folder that are complete and not yet processed."""

    def __init__(self, folder: Path, settle_s: float) -> None:
        self._folder = folder
        self._settle_s = settle_s
        self._watched: dict[Path, _Watched] = {}

    def complete(self) -> list[Path]:
        """The files to process now: at first sorted by path, later by modification time.

        A file is complete when its size and time have not changed for ``settle_s``. A
        file that changes after it was processed is a new one. Raises
        ``MissingInputError`` when the folder does not exist.
        """
        if not self._folder.is_dir():
            raise MissingInputError(f"{self._folder}: no such folder")
        first_look, now_s = not self._watched, time.monotonic()
        for path in self._listed():
            self._look(path, now_s)
        # A file that a network share hides for a moment must not be processed twice.
        self._watched = {
            path: watched
            for path, watched in self._watched.items()
            if now_s - watched.seen_s < _FORGOTTEN_AFTER_S
        }
        ready = [
            path
            for path, watched in self._watched.items()
            if watched.seen_s == now_s
            and not watched.processed
            and now_s - watched.since_s >= self._settle_s
        ]
        if not first_look:
            ready.sort(key=lambda path: (self._watched[path].version.modified_ns, path))
        return ready

    def mark_processed(self, path: Path) -> None:
        """The file is done, as long as it does not change."""
        if path in self._watched:
            self._watched[path].processed = True

    def _listed(self) -> list[Path]:
        try:
            return recording_files([self._folder], AUDIO_SUFFIXES)
        except MissingInputError:
            return []

    def _look(self, path: Path, now_s: float) -> None:
        try:
            status = path.stat()
        except OSError:  # removed since it was listed
            return
        version = _Version(status.st_size, status.st_mtime_ns)
        known = self._watched.get(path)
        if known is not None and known.version == version:
            known.seen_s = now_s
            return
        # An old file is complete at once. A time in the future counts as now.
        age_s = max(0.0, time.time() - status.st_mtime) if known is None else 0.0
        self._watched[path] = _Watched(version, now_s - age_s, now_s)


class FolderSource:
    """The recordings of a folder, then every new one when it is complete.

    Every recording begins with a discontinuity. One that cannot be used is reported
    as ``bad_input`` and skipped. If the folder disappears, the source waits for it.
    """

    data_timeout_s = None

    def __init__(self, settings: FolderSettings) -> None:
        self._settings = settings
        self.sample_rate_hz: int | None = None
        self._next_sample = 0
        self._failed = False

    def blocks(self, stop: threading.Event) -> Generator[SourceItem, None, None]:
        """See ``Source``."""
        settings = self._settings
        self._next_sample, self._failed = 0, False
        watch = FolderWatch(settings.path, settings.settle_s)
        if not settings.path.is_dir():
            raise MissingInputError(f"{settings.path}: no such folder")
        gone = False
        while not stop.is_set():
            try:
                paths = watch.complete()
            except MissingInputError as error:
                if not gone:
                    yield self._fail("disconnected", str(error))
                gone, paths = True, []
            else:
                gone = False
            for path in paths:
                yield from self._recording(path, stop)
                if stop.is_set():
                    return
                watch.mark_processed(path)
            if not paths:
                stop.wait(settings.poll_interval_s)

    def _recording(self, path: Path, stop: threading.Event) -> Iterator[SourceItem]:
        try:
            for block in read_blocks(path, self._settings.channel):
                if stop.is_set():
                    return
                if self._failed:
                    self._failed = False
                    yield BACK
                yield self._continued(block)
        except (BadInputError, MissingInputError) as error:
            log.warning("recording skipped: %s", error)
            yield self._fail("bad_input", str(error))

    def _continued(self, block: AudioBlock) -> AudioBlock:
        """The block with its position in the stream of all recordings."""
        gap = block.first_sample == 0 and self._next_sample > 0
        if gap and self.sample_rate_hz is not None:
            self._next_sample = -(-self._next_sample * block.sample_rate_hz // self.sample_rate_hz)
        self.sample_rate_hz = block.sample_rate_hz
        placed = replace(block, first_sample=self._next_sample, discontinuous=gap)
        self._next_sample += len(block.samples)
        return placed

    def _fail(self, reason: str, detail: str) -> SourceItem:
        self._failed = True
        return unavailable(reason, detail)
