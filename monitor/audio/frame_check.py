"""Detects log-mel frames that contain no sound: all of them are the same.

Noise makes every frame different. The frames of a muted microphone are all at the floor, and a
program that has lost its input may send the last frame again and again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from monitor.audio.latch import Latch
from monitor.domain import FloatArray, LogMelBlock, SourceState, SourceStatus
from monitor.features.log_mel_spec import LogMelSpec

_OK = SourceState(SourceStatus.OK)
_AFTER_S, _RECOVER_S = 0.5, 1.0
_FLOOR_DB = 0.01
"""Levels so near to the floor are those of digital silence."""


class FrameCheck:
    """Log-mel blocks to the parts that can be scored, as ``scorable_parts`` for samples.

    The fault (``NO_SIGNAL``, reason ``silence`` or ``stuck``) begins after ``_AFTER_S`` of equal
    frames, and ends after ``_RECOVER_S`` in which no two neighbours are equal. State: the newest
    frame, and for how many frames up to it this was the same.
    """

    def __init__(self, spec: LogMelSpec) -> None:
        self._floor_db = 10.0 * math.log10(spec.power_floor) + _FLOOR_DB
        self._latch = Latch(
            max(2, math.ceil(_AFTER_S * spec.frame_rate_hz)),
            max(1, math.ceil(_RECOVER_S * spec.frame_rate_hz)),
        )
        self._last: FloatArray | None = None
        self.state = _OK

    def parts(self, block: LogMelBlock) -> Iterator[LogMelBlock | SourceState]:
        """The parts of a block that can be scored, and between them why the rest cannot.

        They do not depend on how the stream was cut into blocks. Frames of another shape are
        passed on.
        """
        frames = block.frames_db
        if frames.ndim != 2 or not len(frames):
            yield block
            return
        repeats = self._repeats(frames)
        if self.state is _OK and not repeats.any():
            self._latch.push(bad=False, good=True)  # once for all: it is off
            yield block
            return
        start = 0
        if self.state is not _OK:
            yield self.state
        for index, is_repeated in enumerate(repeats.tolist()):
            before = self.state
            self._take(frames[index], is_repeated=is_repeated)
            if self.state is before:
                continue
            if before is _OK:
                yield _part(block, start, index + 1)
                yield self.state
            start = index + 1
        if self.state is _OK and start < len(frames):
            yield _part(block, start, len(frames))

    def _repeats(self, frames: FloatArray) -> npt.NDArray[np.bool_]:
        """Which frames are equal to the one before. Shape: ``(n, n_mels)`` to ``(n,)``."""
        repeats = np.zeros(len(frames), dtype=np.bool_)
        repeats[1:] = (frames[1:] == frames[:-1]).all(axis=1)
        repeats[0] = self._last is not None and np.array_equal(self._last, frames[0])
        self._last = frames[-1].copy()
        return repeats

    def _take(self, frame: FloatArray, *, is_repeated: bool) -> None:
        self._latch.push(bad=is_repeated, good=not is_repeated)
        if not self._latch.on:
            self.state = _OK
        elif self.state is _OK:
            self.state = self._fault(float(frame.max()))

    def _fault(self, highest_db: float) -> SourceState:
        if highest_db <= self._floor_db:
            reason, detail = "silence", "digital silence: the microphone was muted or unplugged"
        else:
            reason, detail = "stuck", "every log-mel frame is the same: the input is stuck"
        return SourceState(SourceStatus.NO_SIGNAL, reason, detail)


def _part(block: LogMelBlock, start: int, end: int) -> LogMelBlock:
    """Frames ``[start, end)`` of a block; only the block's own start is a discontinuity."""
    is_discontinuous = block.discontinuous and start == 0
    return LogMelBlock(block.frames_db[start:end], block.first_frame + start, is_discontinuous)
