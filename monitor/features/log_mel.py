"""Sound to log-mel windows, streaming.

Frames are not centre-padded and nothing depends on a clip's maximum, so a stream that is cut
into any blocks gives the same windows, bit for bit, as the whole signal. Each frame is computed
row by row (one FFT, one segmented sum), because the rounding of a matrix product may depend on
its number of rows.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from monitor.domain import AudioBlock, DoubleArray, FloatArray, LogMelBlock, LogMelWindow
from monitor.errors import SourceFault
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.sample_tiles import check_block

__all__ = [
    "FrameStream",
    "FrameWindows",
    "LogMelSpec",
    "LogMelStream",
    "log_mel_frames",
    "log_mel_windows",
]

_FRAMES_AT_ONCE = 64
"""The arrays of so many frames fit into the processor's cache."""


class _SparseBands(NamedTuple):
    """The filterbank without its zeros: band b is the sum from ``starts[b]`` to the next start."""

    bins: npt.NDArray[np.intp]
    weights: FloatArray
    starts: npt.NDArray[np.intp]


@lru_cache(maxsize=8)
def _sparse_bands(spec: LogMelSpec) -> _SparseBands:
    bins: list[npt.NDArray[np.intp]] = []
    weights: list[DoubleArray] = []
    for row in spec.mel_filterbank:
        support = np.flatnonzero(row)
        # A band narrower than the spacing of the bins holds none: bin 0 with weight 0.
        low, high = (support[0], support[-1] + 1) if support.size else (0, 1)
        bins.append(np.arange(low, high))
        weights.append(row[low:high])
    lengths = [len(b) for b in bins]
    starts = np.cumsum([0, *lengths[:-1]])
    return _SparseBands(np.concatenate(bins), np.concatenate(weights).astype(np.float32), starts)


@lru_cache(maxsize=8)
def _hann(n_fft: int) -> DoubleArray:
    """The periodic Hann window. Shape: ``(n_fft,)``."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n_fft) / n_fft)


def log_mel_frames(samples: FloatArray, spec: LogMelSpec) -> FloatArray:
    """All whole frames of a signal.

    Shape: ``(n_samples,)`` at ``spec.sample_rate_hz``, full scale +-1, to
    ``(n_frames, n_mels)`` float32 in dB with
    ``n_frames = 1 + (n_samples - n_fft) // hop_length``, none if that is negative.
    Raises ``ValueError`` for another number of dimensions.
    """
    if samples.ndim != 1:
        raise ValueError(f"samples of shape {samples.shape}, expected one channel")
    n_frames = max(0, 1 + (len(samples) - spec.n_fft) // spec.hop_length)
    frames_db = np.empty((n_frames, spec.n_mels), dtype=np.float32)
    if n_frames == 0:
        return frames_db
    bands, hann = _sparse_bands(spec), _hann(spec.n_fft)
    frames = _overlapping(samples, n_frames, spec)
    for first in range(0, n_frames, _FRAMES_AT_ONCE):
        spectrum = np.fft.rfft(frames[first : first + _FRAMES_AT_ONCE] * hann)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        mel = np.add.reduceat(power.take(bands.bins, axis=1) * bands.weights, bands.starts, axis=1)
        mel += np.float32(spec.power_floor)
        out = frames_db[first : first + _FRAMES_AT_ONCE]
        np.log10(mel, out=out)
        out *= np.float32(10.0)
    return frames_db


def _overlapping(samples: FloatArray, n_frames: int, spec: LogMelSpec) -> FloatArray:
    """The samples of each frame, a view. Shape: ``(n_frames, n_fft)``.

    numpy's own functions for such a view take longer than the FFT of the frames of a live block.
    """
    contiguous = np.ascontiguousarray(samples)
    step = contiguous.itemsize
    strides = (spec.hop_length * step, step)
    return np.ndarray((n_frames, spec.n_fft), contiguous.dtype, contiguous, strides=strides)


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

    def push(self, block: LogMelBlock) -> list[LogMelWindow]:
        """The windows that ``block`` completes.

        Shape: ``frames_db`` is ``(n_frames, n_mels)``. Raises ``SourceFault`` for
        another number of bands or values that are not finite.
        """
        frames = block.frames_db
        if frames.ndim != 2 or frames.shape[1] != self._spec.n_mels:
            raise SourceFault(
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


class FrameStream:
    """Audio blocks of any size to log-mel frames.

    State: the samples that a later frame still needs (``_pending``).
    """

    def __init__(self, spec: LogMelSpec) -> None:
        self._spec = spec
        self.reset()

    def reset(self) -> None:
        """Forget the samples before the next block."""
        self._pending = np.empty(0, dtype=np.float32)

    def push(self, block: AudioBlock) -> FloatArray:
        """The frames that ``block`` completes. Shape: ``(n_frames, n_mels)``, in dB.

        After a discontinuity, frames contain only later samples. Raises ``SourceFault`` for
        another sample rate than that of the specification, another shape, and samples that are
        not finite; the stream is then as it was before the call.
        """
        check_block(block, self._spec.sample_rate_hz)
        if block.discontinuous:
            self.reset()
        samples = np.concatenate((self._pending, block.samples))
        frames_db = log_mel_frames(samples, self._spec)
        self._pending = samples[len(frames_db) * self._spec.hop_length :].copy()
        return frames_db


class LogMelStream:
    """Audio blocks of any size to log-mel windows.

    The first window comes when its last sample has arrived, and no window contains a
    discontinuity.
    """

    def __init__(self, spec: LogMelSpec) -> None:
        self._frames = FrameStream(spec)
        self._windows = FrameWindows(spec)

    def reset(self, first_sample: int = 0) -> None:
        """Forget all samples: the next one has index ``first_sample``."""
        self._frames.reset()
        self._windows.reset(first_sample)

    def push(self, block: AudioBlock) -> list[LogMelWindow]:
        """The windows that ``block`` completes, in order.

        Shape: ``block.samples`` is ``(n_samples,)`` float32. Raises as ``FrameStream.push``;
        the stream is then as it was before the call.
        """
        frames_db = self._frames.push(block)
        if block.discontinuous:
            self._windows.reset(block.first_sample)
        return self._windows.append(frames_db) if len(frames_db) else []


def log_mel_windows(samples: FloatArray, spec: LogMelSpec) -> FloatArray:
    """All windows of a whole signal at once.

    Shape: ``(n_samples,)`` at ``spec.sample_rate_hz`` to
    ``(n_windows, n_mels, window_frames)``.
    """
    windows = LogMelStream(spec).push(AudioBlock(samples, spec.sample_rate_hz, 0))
    if not windows:
        return np.empty((0, spec.n_mels, spec.window_frames), dtype=np.float32)
    return np.stack([window.values_db for window in windows])
