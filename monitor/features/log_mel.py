"""Log-mel frames and sound to log-mel windows, streaming.

A stream that is cut into any blocks gives the same windows, bit for bit, as the whole signal.
"""

from __future__ import annotations

import numpy as np

from monitor.domain import AudioBlock, FloatArray, LogMelBlock, LogMelWindow
from monitor.errors import FormatFault, SourceFault
from monitor.features.log_mel_frames import frames_from
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.sample_tiles import SampleTiles, Tiles


class FrameWindows:
    """Log-mel frames to overlapping windows, streaming.

    State: the frames that later windows need (``_frames``), and the position of the first one
    (``_first_sample``).
    """

    def __init__(self, spec: LogMelSpec) -> None:
        self._spec = spec
        self.reset(first_sample=0)

    def reset(self, first_sample: int = 0) -> None:
        """Forget all frames: the next one begins at ``first_sample``."""
        self._frames = np.empty((0, self._spec.n_mels), dtype=np.float32)
        self._first_sample = first_sample

    @property
    def n_missing(self) -> int:
        """How many frames the next window still needs."""
        return self._spec.window_frames - len(self._frames)

    def push(self, block: LogMelBlock) -> list[LogMelWindow]:
        """The windows that ``block`` completes.

        Shape: ``frames_db`` is ``(n_frames, n_mels)``. Raises ``SourceFault`` for
        another number of bands or values that are not finite.
        """
        frames = block.frames_db
        if frames.ndim != 2 or frames.shape[1] != self._spec.n_mels:
            raise FormatFault(
                f"log-mel frames of shape {frames.shape} arrived, "
                f"this bundle expects (n_frames, {self._spec.n_mels})"
            )
        if not np.isfinite(frames).all():
            raise SourceFault("log-mel frames hold NaN or infinity")
        if block.discontinuous:
            self.reset(block.first_frame * self._spec.hop_length)
        return self.append(frames)

    def append(self, frames_db: FloatArray) -> list[LogMelWindow]:
        """As :meth:`push`, for valid frames that follow the last ones."""
        spec = self._spec
        frames = np.concatenate((self._frames, frames_db)) if len(self._frames) else frames_db
        n_windows = max(0, 1 + (len(frames) - spec.window_frames) // spec.window_hop_frames)
        windows = []
        for index in range(n_windows):
            first_frame = index * spec.window_hop_frames
            values = frames[first_frame : first_frame + spec.window_frames]
            first = self._first_sample + first_frame * spec.hop_length
            windows.append(
                LogMelWindow(np.ascontiguousarray(values.T), first, first + spec.window_samples)
            )
        used = n_windows * spec.window_hop_frames
        self._frames = frames[used:].copy()
        self._first_sample += used * spec.hop_length
        return windows


class LogMelStream:
    """Audio blocks of any size to log-mel windows.

    The first window comes when its last sample has arrived, and no window contains a
    discontinuity. State: the frames of the last window, and the number of the next one.
    """

    def __init__(self, spec: LogMelSpec) -> None:
        self._spec = spec
        self._tiles = window_tiles(spec)
        self._frames_db = np.empty((0, spec.n_mels), dtype=np.float32)
        self._next_number = 0

    def push(self, block: AudioBlock) -> list[LogMelWindow]:
        """The windows that ``block`` completes, in order.

        Shape: ``block.samples`` is ``(n_samples,)`` float32. Raises as ``FrameStream.push``;
        the stream is then as it was before the call.
        """
        return self.of(self._tiles.push(block))

    def of(self, tiles: Tiles) -> list[LogMelWindow]:
        """The windows of tiles. Those that do not follow the last ones begin without them."""
        spec = self._spec
        if not tiles.count:
            return []
        follows = tiles.number and tiles.number == self._next_number
        self._next_number = tiles.number + tiles.count
        n_kept = spec.window_frames - spec.window_hop_frames if follows else 0
        n_frames = spec.window_frames + (tiles.count - 1) * spec.window_hop_frames
        first = n_kept + tiles.number * spec.window_hop_frames
        begin = n_kept * spec.hop_length
        end = (n_frames - 1) * spec.hop_length + spec.n_fft
        new_db = frames_from(tiles.samples[begin:end], first, spec)
        kept_db = self._frames_db[len(self._frames_db) - n_kept :]
        frames_db = np.concatenate((kept_db, new_db)) if n_kept else new_db
        self._frames_db = frames_db[-spec.window_frames :]
        values_db = _windows_of(frames_db, tiles.count, spec)
        return [
            LogMelWindow(values, first_sample, first_sample + spec.window_samples)
            for values, first_sample in zip(values_db, tiles.first_samples, strict=True)
        ]


def _windows_of(frames_db: FloatArray, n_windows: int, spec: LogMelSpec) -> FloatArray:
    """Shape: ``(n_frames, n_mels)`` to ``(n_windows, n_mels, window_frames)``, a copy."""
    frame, value = frames_db.strides
    shape = n_windows, spec.n_mels, spec.window_frames
    strides = spec.window_hop_frames * frame, value, frame
    return np.ndarray(shape, frames_db.dtype, frames_db, strides=strides).copy()


def window_tiles(spec: LogMelSpec) -> SampleTiles:
    """The samples of each window."""
    hop = spec.window_hop_samples
    return SampleTiles(spec.sample_rate_hz, length=spec.window_samples, hop=hop)


def log_mel_windows(samples: FloatArray, spec: LogMelSpec) -> FloatArray:
    """All windows of a whole signal at once.

    Shape: ``(n_samples,)`` at ``spec.sample_rate_hz`` to
    ``(n_windows, n_mels, window_frames)``.
    """
    windows = LogMelStream(spec).push(AudioBlock(samples, spec.sample_rate_hz, 0))
    if not windows:
        return np.empty((0, spec.n_mels, spec.window_frames), dtype=np.float32)
    return np.stack([window.values_db for window in windows])
