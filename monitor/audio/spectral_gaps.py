"""Gaps that a lossy codec leaves in the spectrum.

A codec that has too few bits leaves out whatever it takes for inaudible: for some
milliseconds, stretches of the spectrum are empty between others that are not. Noise, tones,
impacts, resampling and noise suppression leave hardly any such gaps: 1 to 5 in a thousand points
of the time-frequency plane, whatever the machine, healthy or not. MP3 at 32 kbit/s leaves 25 to
100 where it changes the spectrum at all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from monitor.audio.cells import SoundCells
from monitor.domain import AudioBlock, DoubleArray, FloatArray
from monitor.features.fourier import transform
from monitor.features.prominence import hann
from monitor.workspace import workspaces

CODEC_SHARE = 0.015
"""A larger share of gaps than this comes from a codec."""
_FRAME_S = 0.016
_LOW_HZ = 1500.0
_HIGH_SHARE = 0.875
_DEEP = 0.003
_FRAMES_AROUND, _BINS_AROUND = 11, 17
_FLOOR = np.float32(1e-12)


ShareOfGaps = Callable[[FloatArray, int], float]
"""As ``share_of_gaps``."""


class SpectralGaps:
    """Blocks of any size, at one rate, to the share of gaps of each cell."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._cells = SoundCells()

    def push(self, block: AudioBlock) -> list[tuple[int, float]]:
        """The cells that ``block`` completes: the sample after the cell, and its share, 0 to 1."""
        rate_hz = self._sample_rate_hz
        return [(end, share_of_gaps(cell, rate_hz)) for end, cell in self._cells.push(block)]


def share_of_gaps(cell: FloatArray, sample_rate_hz: int) -> float:
    """The share of points far below the mean over time and far below that over frequency.

    Shape: ``(n_samples,)`` of one cell. From 0 to 1.
    """
    shape = _shape(len(cell), sample_rate_hz)
    if min(shape.n_frames, shape.n_bins) < _BINS_AROUND:
        return 0.0
    with _planes(shape) as plane:
        return plane.share_of_gaps(np.ascontiguousarray(cell))


class _Shape(NamedTuple):
    """Frames of half overlap, and the bins of their spectra that are looked at."""

    n_frames: int
    n_fft: int
    first_bin: int
    n_bins: int


@lru_cache(maxsize=16)
def _shape(n_samples: int, sample_rate_hz: int) -> _Shape:
    n_fft = 1 << round(np.log2(_FRAME_S * sample_rate_hz))
    bin_hz = sample_rate_hz / n_fft
    first_bin, end_bin = int(_LOW_HZ / bin_hz), int(_HIGH_SHARE * sample_rate_hz / 2 / bin_hz)
    return _Shape(1 + (n_samples - n_fft) // (n_fft // 2), n_fft, first_bin, end_bin - first_bin)


class _Plane:
    """The power of a cell over time and frequency, with arrays that are used again and again."""

    def __init__(self, shape: _Shape) -> None:
        n_frames, n_fft, first_bin, n_bins = shape
        self._strides = n_fft // 2 * np.float32().itemsize, np.float32().itemsize
        # The transform divides by the length.
        self._window = hann(n_fft) * np.float32(n_fft)
        self._frames = np.empty((n_frames, n_fft), dtype=np.float32)
        self._spectrum = np.empty((n_frames, n_fft // 2 + 1), dtype=np.complex64)
        parts = self._spectrum.view(np.float32)[:, 2 * first_bin : 2 * (first_bin + n_bins)]
        self._parts, self._real, self._imaginary = parts, parts[:, ::2], parts[:, 1::2]
        self._squares = np.empty((n_frames, n_bins), dtype=np.float32)

        # With zeros around the plane, a sum of neighbours is the same everywhere.
        above, beside = _FRAMES_AROUND // 2, _BINS_AROUND // 2
        width = n_bins + 2 * beside
        padded = np.zeros((n_frames + 2 * above, width), dtype=np.float32)
        self._power = padded[above:-above, beside:-beside]
        self._padded = padded.reshape(-1)
        runs = [np.zeros_like(self._padded) for _ in range(3)]
        sums = np.empty((n_frames, width), dtype=np.float32)
        self._additions = _sum_of_eleven(self._padded, runs, sums.reshape(-1), width)
        self._sums = sums[:, beside:-beside]
        frames_around = _counts(n_frames, above)[:, np.newaxis]
        self._frames_around_deep = (frames_around / _DEEP).astype(np.float32)
        self._bins_around_deep = (_counts(n_bins, beside) / _DEEP).astype(np.float32)
        self._is_gap = np.empty((n_frames, n_bins), dtype=np.bool_)
        self._shift = above * width
        self._beside = np.arange(_BINS_AROUND)
        self._width = width

    def share_of_gaps(self, cell: FloatArray) -> float:
        shape = self._frames.shape
        frames = np.ndarray(shape, cell.dtype, cell, strides=self._strides)
        np.multiply(frames, self._window, self._frames)
        transform(self._frames, self._spectrum)
        np.multiply(self._parts, self._parts, self._parts)
        np.add(self._real, self._imaginary, self._squares)
        np.add(self._squares, _FLOOR, self._power)
        for one, other, out in self._additions:
            np.add(one, other, out)
        np.multiply(self._power, self._frames_around_deep, self._squares)
        np.less(self._squares, self._sums, self._is_gap)
        places = np.flatnonzero(self._is_gap)
        if not len(places):
            return 0.0
        rows, bins = np.divmod(places, self._is_gap.shape[1])
        first = self._shift + rows * self._width + bins  # of the neighbours, in the padded plane
        around = self._padded[first[:, np.newaxis] + self._beside].sum(axis=1)
        power = self._padded[first + _BINS_AROUND // 2]
        n_gaps = np.count_nonzero(power * self._bins_around_deep[bins] < around)
        return n_gaps / self._is_gap.size


_planes = workspaces(_Plane)


def _sum_of_eleven(
    rows: FloatArray, runs: list[FloatArray], out: FloatArray, width: int
) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
    """Additions that sum eleven rows of ``width``, from runs of 2, 4 and 8 rows.

    An addition is two arrays and the one for their sum.
    """
    n = len(out)
    two, four, eight = runs
    pairs = [(rows, two, 1), (two, four, 2), (four, eight, 4)]
    additions = [
        (one[: -shift * width], one[shift * width :], into[: -shift * width])
        for one, into, shift in pairs
    ]
    additions.append((eight[:n], two[8 * width : 8 * width + n], out))
    additions.append((out, rows[10 * width : 10 * width + n], out))
    return additions


def _counts(n: int, around: int) -> DoubleArray:
    """How many of ``n`` places are at most ``around`` from each. Shape: ``(n,)``."""
    places = np.arange(n)
    counts = np.minimum(places + around, n - 1) - np.maximum(places - around, 0) + 1
    return counts.astype(np.float64)
