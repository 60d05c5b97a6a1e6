"""A folder that receives recordings, as a source."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from monitor.audio.files import read_blocks, require_stated_length
from monitor.audio.recordings import describe_ignored
from monitor.audio.start_time import start_unix_s
from monitor.domain import AudioBlock
from monitor.errors import BadInputError, MissingInputError, TruncatedError
from monitor.sources.folder.ledger import Ledger, Progress, Version
from monitor.sources.folder.watch import FolderWatch, is_folder, require_folder
from monitor.sources.protocol import BACK, SourceItem, unavailable
from monitor.sources.settings import FolderSettings
from monitor.text.escaping import one_line

log = logging.getLogger(__name__)

_BLOCK_S = 4.0
"""A longer block would delay the other machines."""


class FolderSource:
    """The recordings of a folder, then every new one when it is complete.

    Every recording begins with a discontinuity, except the rest of a recording that has grown
    and was read last. A recording that cannot be used is reported as ``bad_input`` and
    skipped. If the folder disappears, the source waits for it. While there is nothing to read, a
    folder without recordings is ``no_recordings``, and a folder with parts that cannot be read is
    ``unreadable``.

    ``ledger``: the file that stores what was read, so that nothing is read twice after a
    restart except what was not decided yet; None to read everything again after each start.
    """

    data_timeout_s = None

    def __init__(self, settings: FolderSettings, ledger: Path | None = None) -> None:
        self._settings = settings
        self._ledger_path = ledger
        self.sample_rate_hz: int | None = None
        self._next_sample = 0
        self._last_read: int | None = None
        """Inode of the file that was read last."""
        self._state = ""
        self._progress: Progress | None = None
        """How far the recording is read that is being read."""
        self._needed_s = 0.0
        """How much of what was read is not decided yet."""

    def set_needed(self, seconds: float) -> None:
        """See ``RereadableSource``."""
        self._needed_s = seconds

    def blocks(self, stop: threading.Event) -> Generator[SourceItem, None, None]:
        """See ``Source``."""
        settings = self._settings
        require_folder(settings.path)
        self._next_sample, self._last_read, self._state = 0, None, ""
        ledger = Ledger(self._ledger_path)
        watch = FolderWatch(
            settings.path,
            ledger,
            settle_s=settings.settle_s,
            poll_interval_s=settings.poll_interval_s,
        )
        try:
            while not stop.is_set():
                try:
                    watch.begin_notices(stop)
                    found = watch.ready()
                except MissingInputError as error:
                    yield from self._show("disconnected", str(error))
                    stop.wait(settings.poll_interval_s)
                    continue
                for path, version in found:
                    yield from self._recording(path, version, ledger, watch, stop)
                    if stop.is_set():
                        return
                if not found:
                    yield from self._idle(watch)
                    watch.wait(stop)
        finally:
            watch.close()
            ledger.close()

    def _recording(
        self,
        path: Path,
        version: Version,
        ledger: Ledger,
        watch: FolderWatch,
        stop: threading.Event,
    ) -> Iterator[SourceItem]:
        """The part of a recording that was not read yet."""
        try:
            progress = ledger.progress(path, version)
        except OSError as error:
            watch.mark_read(path)
            if not self._is_away(path):
                yield from self._bad(f"{path}: cannot be read: {error.strerror}")
            return
        if progress.done:
            ledger.keep(progress)
            watch.mark_read(path)
            return
        self._progress = progress
        try:
            yield from self._sound(path, progress, ledger, stop)
        except TruncatedError as error:
            if watch.postpone(path):
                return
            reason = str(error)
        except (BadInputError, MissingInputError) as error:
            reason = str(error)
        else:
            reason = ""
        if stop.is_set():
            return
        watch.mark_read(path)
        if reason and not self._is_away(path):
            ledger.keep(replace(self._progress or progress, done=True))
            yield from self._bad(reason)

    def _sound(
        self, path: Path, progress: Progress, ledger: Ledger, stop: threading.Event
    ) -> Iterator[SourceItem]:
        is_next_part = progress.n_frames > 0 and self._last_read == progress.version.inode
        # After an interruption, what was not decided is read again. While an alert is open,
        # everything is decided; that alert may be one from the last block before a kill.
        goes_on = is_next_part or not self._needed_s
        skip_frames = progress.n_frames if goes_on else progress.decided_frames
        blocks = read_blocks(
            path,
            self._settings.channel,
            block_s=_BLOCK_S,
            skip_frames=skip_frames,
            growing=True,
        )
        began_unix_s = start_unix_s(path)
        for block in blocks:
            if stop.is_set():
                return
            if self._state:
                self._state = ""
                yield BACK
            if began_unix_s is not None:
                block = replace(block, recorded_unix_s=began_unix_s + block.start_s)  # noqa: PLW2901 - the same block, dated
            yield self._placed(block, begins=not is_next_part)
            is_next_part = True
            # Only now: the yielded block has been processed, and its alert is on the disk.
            n_frames = block.first_sample + len(block.samples)
            decided_frames = n_frames - round(self._needed_s * block.sample_rate_hz)
            progress = replace(
                progress,
                n_frames=n_frames,
                decided_frames=max(progress.decided_frames, decided_frames),
            )
            self._progress = progress
            ledger.keep(progress, at_once=not self._needed_s)
            self._last_read = progress.version.inode
        with suppress(MissingInputError):  # removed after it was read
            require_stated_length(path)
        ledger.keep(replace(progress, done=True))

    def _placed(self, block: AudioBlock, *, begins: bool) -> AudioBlock:
        """The block with its position in the stream of all recordings."""
        gap = begins and self._next_sample > 0
        if gap and self.sample_rate_hz is not None:
            self._next_sample = -(-self._next_sample * block.sample_rate_hz // self.sample_rate_hz)
        self.sample_rate_hz = block.sample_rate_hz
        placed = replace(block, first_sample=self._next_sample, discontinuous=gap)
        self._next_sample += len(block.samples)
        return placed

    def _is_away(self, path: Path) -> bool:
        """Whether the whole folder has failed: what is left is read when it is back."""
        is_away = not is_folder(self._settings.path)
        if is_away:
            log.warning("recording waits for its folder: %s", one_line(str(path)))
        return is_away

    def _bad(self, reason: str) -> Iterator[SourceItem]:
        log.warning("recording skipped: %s", one_line(reason))
        self._last_read = None
        yield from self._show("bad_input", reason, again=True)

    def _idle(self, watch: FolderWatch) -> Iterator[SourceItem]:
        """The state of a folder in which there is nothing to read now."""
        contents = watch.contents
        if contents.unreadable:
            name, why = next(iter(contents.unreadable.items()))
            others = len(contents.unreadable) - 1
            more = f" and {others} more" if others else ""
            yield from self._show("unreadable", f"{name}: {why}{more}")
        elif not contents.n_recordings and not self._next_sample and not watch.is_settling:
            ignored = describe_ignored(contents.ignored)
            detail = f"{self._settings.path}: no recordings" + (f"; {ignored}" if ignored else "")
            yield from self._show("no_recordings", detail)
        elif self._state in {"disconnected", "unreadable"} and not watch.is_settling:
            detail = f"{self._settings.path}: can be read again; waiting for new recordings"
            yield from self._show("waiting", detail)
        elif not self._next_sample and not self._state and not watch.is_settling:
            number = contents.n_recordings
            known = "the recording in it was" if number == 1 else f"all {number} recordings were"
            yield from self._show(
                "waiting", f"{self._settings.path}: {known} read before; waiting for new ones"
            )

    def _show(self, reason: str, detail: str, *, again: bool = False) -> Iterator[SourceItem]:
        """A state, yielded once while it lasts."""
        if again or self._state != reason:
            if reason in {"unreadable", "no_recordings"} and self._state != reason:
                log.warning("folder: %s", one_line(detail))
            self._state = reason
            yield unavailable(reason, one_line(detail))
