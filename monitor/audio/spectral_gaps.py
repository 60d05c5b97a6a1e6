"""Gaps that a lossy codec leaves in the spectrum.

A codec that has too few bits leaves out whatever it takes for inaudible: for some
milliseconds, stretches of the spectrum are empty between others that are not. Noise, tones,
impacts, resampling and noise suppression leave hardly any such gaps: 1 to 5 in a thousand points
of the time-frequency plane, whatever the machine, healthy or not. MP3 at 32 kbit/s leaves 25 to
100 where it changes the spectrum at all.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from monitor.audio.cells import SoundCells
from monitor.domain import AudioBlock, DoubleArray, FloatArray

CODEC_SHARE = 0.015
"""A larger share of gaps than this comes from a codec."""
_FRAME_S = 0.016
_LOW_HZ = 1500.0
_HIGH_SHARE = 0.875
_DEEP = 0.003
_FRAMES_AROUND, _BINS_AROUND = 11, 17
_FLOOR = 1e-12


class SpectralGaps:
    """Blocks of any size, at one rate, to the share of gaps of each cell."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._n_fft = 1 << round(np.log2(_FRAME_S * sample_rate_hz))
        bin_hz = sample_rate_hz / self._n_fft
        self._bins = slice(int(_LOW_HZ / bin_hz), int(_HIGH_SHARE * sample_rate_hz / 2 / bin_hz))
        self._window = np.hanning(self._n_fft + 1)[:-1]
        self._cells = SoundCells()

    def push(self, block: AudioBlock) -> list[tuple[int, float]]:
        """The cells that ``block`` completes: the sample after the cell, and its share, 0 to 1."""
        return [(end_sample, self._share(cell)) for end_sample, cell in self._cells.push(block)]

    def _share(self, cell: FloatArray) -> float:
        """The share of points far below the mean over time and far below that over frequency."""
        hop = self._n_fft // 2
        frames = np.lib.stride_tricks.sliding_window_view(cell, self._n_fft)[::hop]
        spectrum = np.fft.rfft(frames * self._window)[:, self._bins]
        power: DoubleArray = spectrum.real**2 + spectrum.imag**2 + _FLOOR
        if min(power.shape) < _BINS_AROUND:
            return 0.0
        is_gap = power < _DEEP * _mean_over_rows(power)
        rows = np.flatnonzero(is_gap.any(axis=1))
        if not len(rows):
            return 0.0
        candidates = power[rows]
        is_gap[rows] &= candidates < _DEEP * _mean_over_columns(candidates)
        return float(is_gap.mean())


def _mean_over_rows(values: DoubleArray) -> DoubleArray:
    """The mean over ``_FRAMES_AROUND`` rows, fewer at the edges. Shape in, shape out."""
    around = _FRAMES_AROUND // 2
    sums = values.copy()
    for shift in range(1, around + 1):
        sums[shift:] += values[:-shift]
        sums[:-shift] += values[shift:]
    sums /= _counts(len(values), around)[:, None]
    return sums


def _mean_over_columns(values: DoubleArray) -> DoubleArray:
    """The mean over ``_BINS_AROUND`` columns, fewer at the edges. Shape in, shape out."""
    around, n = _BINS_AROUND // 2, values.shape[1]
    sums = np.cumsum(values, axis=1)
    means = np.empty_like(values)
    means[:, : n - around] = sums[:, around:]
    means[:, n - around :] = sums[:, -1:]
    means[:, around + 1 :] -= sums[:, : n - around - 1]
    means /= _counts(n, around)
    return np.maximum(means, 0.0)


@lru_cache(maxsize=8)
def _counts(n: int, around: int) -> DoubleArray:
    """How many of ``n`` places are at most ``around`` from each. Shape: ``(n,)``."""
    places = np.arange(n)
    counts = np.minimum(places + around, n - 1) - np.maximum(places - around, 0) + 1
    return counts.astype(np.float64)
