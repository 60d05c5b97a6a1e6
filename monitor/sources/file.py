"""One recording as a source."""

from __future__ import annotations

import stat
import threading
from collections.abc import Generator
from dataclasses import replace

from monitor.audio.files import read_blocks
from monitor.audio.recordings import path_mode
from monitor.errors import BadInputError, MissingInputError
from monitor.sources.pacing import Pacer
from monitor.sources.protocol import SourceItem, unavailable
from monitor.sources.settings import FileSettings
from monitor.sources.waiting import Steps, Wait, blocking

_REALTIME_BLOCK_S = 0.1
"""The shortest block in real time."""
_READ_S = 1.0
"""What is read at a time in real time: to read takes as long for a tenth of it."""
_BLOCK_S = 4.0


class FileSource:
    """A recording, once or in a loop, as fast as it can be read or in real time.

    A recording that cannot be used is reported as ``bad_input`` and ends the source.
    In a loop, every repetition begins with a discontinuity.
    """

    data_timeout_s = 0.0

    def __init__(self, settings: FileSettings) -> None:
        self._settings = settings
        self.sample_rate_hz: int | None = None

    def blocks(self, stop: threading.Event) -> Generator[SourceItem, None, None]:
        """See ``Source``."""
        return blocking(self.steps(), stop)

    def steps(self) -> Steps[SourceItem]:
        """See ``SteppedSource``."""
        settings = self._settings
        mode = path_mode(settings.path, "file")
        if stat.S_ISDIR(mode):
            raise MissingInputError(f'{settings.path}: is a folder; kind = "folder" reads it')
        if not stat.S_ISREG(mode):
            raise MissingInputError(f"{settings.path}: is not a regular file")
        pacer = Pacer(realtime=settings.realtime)
        block_s = _READ_S if settings.realtime else _BLOCK_S
        position = 0
        while True:
            begun = position
            try:
                for block in read_blocks(settings.path, settings.channel, block_s=block_s):
                    self.sample_rate_hz = rate_hz = block.sample_rate_hz
                    first, n_samples = begun + block.first_sample, len(block.samples)
                    least = round(_REALTIME_BLOCK_S * rate_hz)
                    for part in pacer.parts(first, n_samples, rate_hz, least):
                        if isinstance(part, Wait):
                            yield part
                            continue
                        yield replace(
                            block,
                            samples=block.samples[part],
                            unmixed=None if block.unmixed is None else block.unmixed[part],
                            first_sample=first + part.start,
                            discontinuous=begun > 0 and first + part.start == begun,
                        )
                        position = first + part.stop
            except (BadInputError, MissingInputError) as error:
                yield unavailable("bad_input", str(error))
                return
            if not settings.loop:
                return
