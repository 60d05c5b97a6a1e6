"""Sound to log-mel frames, streaming.

Frames are not centre-padded and nothing depends on a clip's maximum. The rounding of a matrix
product may depend on its number of rows, so frames are always computed in tiles of 16, and each at
the same place of its tile: that of its number. So a stream that is cut into any blocks gives the
same frames, bit for bit, as the whole signal.
"""

from __future__ import annotations

import numpy as np

from monitor.domain import AudioBlock, FloatArray
from monitor.features.fourier import transform
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.prominence import hann
from monitor.features.sample_tiles import check_block
from monitor.workspace import workspaces

_FRAMES_AT_ONCE = 16
_TILES_AT_ONCE = 4
"""The arrays of so many tiles of frames fit into the processor's cache."""
_BAND_GROUPS = 4
"""The bands of a group have few bins in common, so that several small products are faster."""


class _FrameTiles:
    """Arrays for the frames of some tiles that are used again and again.

    ``frames``: samples under the window. ``levels_db``: what :meth:`transform` makes of them. Shape
    of both: one row for each frame.
    """

    def __init__(self, spec: LogMelSpec, n_tiles: int) -> None:
        shape, n_bins = (n_tiles, _FRAMES_AT_ONCE), spec.n_fft // 2 + 1
        n_frames = n_tiles * _FRAMES_AT_ONCE
        # The transform divides by the length.
        self.window = hann(spec.n_fft) * np.float32(spec.n_fft)
        self.frames = np.zeros((n_frames, spec.n_fft), dtype=np.float32)
        self._spectrum = np.zeros((n_frames, n_bins), dtype=np.complex64)
        parts = self._spectrum.reshape(-1).view(np.float32)
        self._parts, self._real, self._imaginary = parts, parts[::2], parts[1::2]
        power = np.zeros((*shape, n_bins), dtype=np.float32)
        self._power, self._floor = power.reshape(-1), np.float32(spec.power_floor)
        levels_db = np.zeros((*shape, spec.n_mels), dtype=np.float32)
        self.levels_db = levels_db.reshape(n_frames, spec.n_mels)
        self._products: list[tuple[FloatArray, FloatArray, FloatArray]] = []
        filterbank = spec.mel_filterbank.astype(np.float32)
        for bands in np.array_split(np.arange(spec.n_mels), min(_BAND_GROUPS, spec.n_mels)):
            # A band that is narrower than the spacing of the bins has no bin.
            bins = np.flatnonzero(filterbank[bands].any(axis=0))
            first, end = (bins[0], bins[-1] + 1) if bins.size else (0, 1)
            weights = np.ascontiguousarray(filterbank[bands, first:end].T)
            into = levels_db[..., bands[0] : bands[-1] + 1]
            self._products.append((power[..., first:end], weights, into))

    def transform(self) -> None:
        """``frames`` to ``levels_db``."""
        transform(self.frames, self._spectrum)
        np.multiply(self._parts, self._parts, self._parts)
        np.add(self._real, self._imaginary, self._power)
        for power, weights, into in self._products:
            np.matmul(power, weights, out=into)
        np.add(self.levels_db, self._floor, self.levels_db)
        np.log10(self.levels_db, self.levels_db)
        np.multiply(self.levels_db, np.float32(10.0), self.levels_db)


_tiles = workspaces(_FrameTiles)


def log_mel_frames(samples: FloatArray, spec: LogMelSpec) -> FloatArray:
    """All whole frames of a signal.

    Shape: ``(n_samples,)`` at ``spec.sample_rate_hz``, full scale +-1, to
    ``(n_frames, n_mels)`` float32 in dB with
    ``n_frames = 1 + (n_samples - n_fft) // hop_length``, none if that is negative.
    Raises ``ValueError`` for another number of dimensions.
    """
    return frames_from(samples, 0, spec)


def frames_from(samples: FloatArray, first_frame: int, spec: LogMelSpec) -> FloatArray:
    """As :func:`log_mel_frames`, where the first frame has the number ``first_frame``."""
    if samples.ndim != 1:
        raise ValueError(f"samples of shape {samples.shape}, expected one channel")
    n_frames = max(0, 1 + (len(samples) - spec.n_fft) // spec.hop_length)
    frames_db = np.empty((n_frames, spec.n_mels), dtype=np.float32)
    if n_frames == 0:
        return frames_db
    frames = _overlapping(samples, n_frames, spec)
    done = 0
    while done < n_frames:
        place = (first_frame + done) % _FRAMES_AT_ONCE
        most = _TILES_AT_ONCE * _FRAMES_AT_ONCE
        if place or n_frames - done < most:
            most = _FRAMES_AT_ONCE
        end = min(n_frames, done + most - place)
        rows = slice(place, place + end - done)
        with _tiles(spec, most // _FRAMES_AT_ONCE) as tiles:
            np.multiply(frames[done:end], tiles.window, tiles.frames[rows])
            tiles.transform()
            frames_db[done:end] = tiles.levels_db[rows]
        done = end
    return frames_db


def _overlapping(samples: FloatArray, n_frames: int, spec: LogMelSpec) -> FloatArray:
    """The samples of each frame, a view. Shape: ``(n_frames, n_fft)``.

    numpy's own functions for such a view take longer than the FFT of the frames of a live block.
    """
    contiguous = np.ascontiguousarray(samples)
    step = contiguous.itemsize
    strides = (spec.hop_length * step, step)
    return np.ndarray((n_frames, spec.n_fft), contiguous.dtype, contiguous, strides=strides)


class FrameStream:
    """Audio blocks of any size to log-mel frames.

    State: the samples that a later frame still needs (``_pending``), and the number of the next
    frame.
    """

    def __init__(self, spec: LogMelSpec) -> None:
        self._spec = spec
        self.reset()

    def reset(self) -> None:
        """Forget the samples before the next block."""
        self._pending = np.empty(0, dtype=np.float32)
        self._n_frames = 0

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
        frames_db = frames_from(samples, self._n_frames, self._spec)
        self._n_frames += len(frames_db)
        self._pending = samples[len(frames_db) * self._spec.hop_length :].copy()
        return frames_db
