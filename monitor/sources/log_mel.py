"""Precomputed log-mel: ``.npy`` files of ``(n_frames, n_mels)`` float32 in dB."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import replace

from monitor.audio.log_mel_files import BLOCK_FRAMES, read_log_mel_blocks
from monitor.audio.recordings import LOG_MEL_SUFFIXES, recording_files
from monitor.errors import BadInputError, MissingInputError
from monitor.sources.pacing import Pacer
from monitor.sources.protocol import BACK, SourceItem, unavailable
from monitor.sources.settings import LogMelSettings
from monitor.sources.waiting import Steps, blocking

_REALTIME_BLOCK_FRAMES = 4


class LogMelSource:
    """The frames of one file, or of all files in a folder, one after another.

    Every file begins with a discontinuity. A file that cannot be used is reported and skipped.
    """

    sample_rate_hz = None
    data_timeout_s = None
    """In real time, frames may be any time apart."""

    def __init__(self, settings: LogMelSettings) -> None:
        self._settings = settings

    def blocks(self, stop: threading.Event) -> Generator[SourceItem, None, None]:
        """See ``Source``."""
        return blocking(self.steps(), stop)

    def steps(self) -> Steps[SourceItem]:
        """See ``SteppedSource``."""
        settings = self._settings
        pacer = Pacer(realtime=settings.realtime)
        block_frames = _REALTIME_BLOCK_FRAMES if settings.realtime else BLOCK_FRAMES
        position, n_mels, failed = 0, None, False
        for path in recording_files([settings.path], LOG_MEL_SUFFIXES):
            begun = position
            try:
                for block in read_log_mel_blocks(path, n_mels=n_mels, block_frames=block_frames):
                    end = begun + block.first_frame + len(block.frames_db)
                    yield from pacer.wait(end / settings.frame_rate_hz)
                    if failed:
                        yield BACK
                    gap = position > 0 and block.first_frame == 0
                    yield replace(block, first_frame=begun + block.first_frame, discontinuous=gap)
                    position, n_mels, failed = end, block.frames_db.shape[1], False
            except (BadInputError, MissingInputError) as error:
                failed = True
                yield unavailable("bad_input", str(error))
