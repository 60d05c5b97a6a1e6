"""Third octaves by IEC 61260-1: exact frequencies of base ten around 1 kHz."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from monitor.domain import DoubleArray, FloatArray

_RATIO = 10.0 ** (3.0 / 10.0)
"""The octave ratio G of the standard."""
_LOWEST, _HIGHEST = -16, 13
"""From 25 Hz to 20 kHz, as distances from 1 kHz."""
_LEAST_BINS = 8
"""A narrower band holds too few bins of a spectrum for a level."""


@lru_cache(maxsize=8)
def mid_bands_hz(highest_hz: float) -> DoubleArray:
    """The exact mid-band frequencies of the bands that end below ``highest_hz``."""
    numbers = np.arange(_LOWEST, _HIGHEST + 1, dtype=np.float64)
    mid_hz: DoubleArray = 1_000.0 * _RATIO ** (numbers / 3.0)
    inside: DoubleArray = mid_hz[mid_hz * _RATIO ** (1.0 / 6.0) <= highest_hz]
    return inside


def edges_hz(mid_hz: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """The band-edge frequencies below and above. Shape: ``(n_bands,)`` each."""
    return mid_hz * _RATIO ** (-1.0 / 6.0), mid_hz * _RATIO ** (1.0 / 6.0)


def third_octaves_db(density_db: FloatArray, bin_hz: float) -> DoubleArray:
    """Levels of the bands from a power spectral density in dB per Hz.

    Shape: ``(n_bins,)`` from 0 Hz to half the sample rate, to ``(n_bands,)``. A bin at an edge
    counts for the part of it that is inside. Bands with fewer than eight bins are NaN.
    """
    n_bins = len(density_db)
    mid_hz = mid_bands_hz(round((n_bins - 1) * bin_hz, 6))
    low_hz, high_hz = edges_hz(mid_hz)
    power = 10.0 ** (np.asarray(density_db, dtype=np.float64) / 10.0) * bin_hz
    below = np.concatenate([[0.0], np.cumsum(power)])
    ends = np.arange(n_bins + 1) - 0.5
    sums = np.interp(high_hz / bin_hz, ends, below) - np.interp(low_hz / bin_hz, ends, below)
    levels_db = 10.0 * np.log10(np.maximum(sums, 1e-30))
    levels_db[(high_hz - low_hz) / bin_hz < _LEAST_BINS] = np.nan
    return np.asarray(levels_db, dtype=np.float64)
