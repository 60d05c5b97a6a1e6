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
from monitor.sources.waiting import Steps, Wait, blocking

_REALTIME_BLOCK_FRAMES = 4
"""The shortest block in real time."""
_READ_FRAMES = 32
"""What is read at a time in real time."""


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
        block_frames = _READ_FRAMES if settings.realtime else BLOCK_FRAMES
        position, n_mels, failed = 0, None, False
        for path in recording_files([settings.path], LOG_MEL_SUFFIXES):
            begun = position
            try:
                for block in read_log_mel_blocks(path, n_mels=n_mels, block_frames=block_frames):
                    first, n_frames = begun + block.first_frame, len(block.frames_db)
                    rate_hz = settings.frame_rate_hz
                    for part in pacer.parts(first, n_frames, rate_hz, _REALTIME_BLOCK_FRAMES):
                        if isinstance(part, Wait):
                            yield part
                            continue
                        if failed:
                            yield BACK
                            failed = False
                        yield replace(
                            block,
                            frames_db=block.frames_db[part],
                            first_frame=first + part.start,
                            discontinuous=begun > 0 and first + part.start == begun,
                        )
                        position, n_mels = first + part.stop, block.frames_db.shape[1]
            except (BadInputError, MissingInputError) as error:
                failed = True
                yield unavailable("bad_input", str(error))
