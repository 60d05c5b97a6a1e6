"""Spectra as prominences: how far each bin is above its neighbourhood."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from monitor.domain import FloatArray
from monitor.features.sample_tiles import Tiles


@dataclass(frozen=True, slots=True)
class ProminenceWindow:
    """The prominences of one window.

    ``values_db``: float32, shape ``(n_bands, n_bins)``. Sums of windows are meaningful:
    the mean over a span is the prominence of its mean logarithm. The window has the place of the
    log-mel window ``[first_sample, end_sample)`` and was made from samples inside it.
    """

    values_db: FloatArray = field(repr=False)
    first_sample: int
    end_sample: int


def prominence_windows(values_db: list[FloatArray], tiles: Tiles) -> list[ProminenceWindow]:
    """One window for each tile. Shape: each of ``values_db`` is ``(n_bands, n_bins)``."""
    return [
        ProminenceWindow(values, first_sample, first_sample + tiles.length)
        for values, first_sample in zip(values_db, tiles.first_samples, strict=True)
    ]


def prominence_db(spectrum_db: FloatArray, neighbours: int) -> FloatArray:
    """Each bin minus the mean over ``neighbours`` bins on both sides and itself, in dB.

    At the ends the spectrum continues as its mirror image. Shape in, shape out:
    ``(n_bands, n_bins)`` with more than ``neighbours`` bins.
    """
    n_bands, n_bins = spectrum_db.shape
    prominences = Prominences(n_bands, n_bins, neighbours)
    prominences.spectrum[...] = spectrum_db
    return prominences.times(1.0)


class Prominences:
    """:func:`prominence_db` for one shape, with arrays that are used again and again.

    New arrays and views of arrays would take more time than their sums. ``spectrum``: to be filled
    before each call of :meth:`times`, float32 of shape ``(n_rows, n_bins)``. All rows are summed
    as one long row, with its mirror images between them: short rows take longer. What reaches
    from one row into the next is left out at the end.
    """

    def __init__(self, n_rows: int, n_bins: int, neighbours: int) -> None:
        width = 2 * neighbours + 1
        mirrored = np.zeros((n_rows, n_bins + 2 * neighbours), dtype=np.float32)
        self.spectrum = mirrored[:, neighbours:-neighbours]
        self._left = mirrored[:, :neighbours], mirrored[:, 2 * neighbours : neighbours : -1]
        self._right = mirrored[:, -neighbours:], mirrored[:, -neighbours - 2 : -width - 1 : -1]
        row = mirrored.reshape(-1)
        above = np.zeros(len(row), dtype=np.float32)
        self._sums = above[: len(row) - width + 1]
        self._additions = _moving_sum(row, width, self._sums)
        self._minus_share = np.float32(-1.0 / width)
        self._middle = row[neighbours:-neighbours]
        self._above = above.reshape(mirrored.shape)[:, :n_bins]

    def times(self, factor: float) -> FloatArray:
        """The prominences of ``spectrum``, times ``factor``, as a new array of the same shape."""
        for place, image in (self._left, self._right):
            place[...] = image
        for one, other, out in self._additions:
            np.add(one, other, out)
        np.multiply(self._sums, self._minus_share, self._sums)
        np.add(self._sums, self._middle, self._sums)
        return self._above * np.float32(factor)


def _moving_sum(
    row: FloatArray, width: int, out: FloatArray
) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
    """Additions that sum each run of ``width`` values, from runs of 1, 2, 4 ... values.

    Shape: ``(n,)`` to ``(n - width + 1,)``; the width is an odd number. An addition is two arrays
    and the one for their sum.
    """
    additions = []
    # The first run is one value, because the width is odd.
    total, start, length = row[: len(out)], 1, 1
    while 2 * length <= width:
        runs = np.zeros(len(row) - length, dtype=np.float32)
        additions.append((row[:-length], row[length:], runs))
        row = runs
        length *= 2
        if width & length:
            additions.append((total, row[start : start + len(out)], out))
            total = out
            start += length
    return additions


@lru_cache(maxsize=8)
def hann(length: int) -> FloatArray:
    """The periodic Hann window. Shape: ``(length,)``."""
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)
    return window.astype(np.float32)


@lru_cache(maxsize=8)
def chance_db2(length: int, hop: int) -> float:
    """``n`` times the variance by chance of the mean of a bin, in dB, over ``n`` windows of noise.

    The power of a bin has an exponential distribution. The powers of overlapping windows
    correlate with the squared autocorrelation of the window, r (Welch 1967, IEEE Transactions on
    Audio and Electroacoustics 15). Their logarithms have the covariance Li2(r), the dilogarithm,
    so one alone has the variance Li2(1) = pi^2 / 6.
    """
    window = hann(length).astype(np.float64)
    correlations = [
        float(window[shift:] @ window[:-shift]) / float(window @ window)
        for shift in range(hop, length, hop)
    ]
    covariances = [_dilogarithm(correlation**2) for correlation in correlations]
    return (10.0 / math.log(10.0)) ** 2 * (math.pi**2 / 6.0 + 2.0 * sum(covariances))


def _dilogarithm(value: float) -> float:
    """The sum of ``value^k / k^2``, for values below 1."""
    return sum(value**k / k**2 for k in range(1, 200))
