"""Spectra as prominences: how far each bin is above its neighbourhood."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from monitor.domain import FloatArray


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


def prominence_db(spectrum_db: FloatArray, neighbours: int) -> FloatArray:
    """Each bin minus the mean over ``neighbours`` bins on both sides and itself, in dB.

    At the ends the spectrum continues as its mirror image. Shape in, shape out:
    ``(n_bands, n_bins)`` with more than ``neighbours`` bins.
    """
    left = spectrum_db[:, neighbours:0:-1]
    right = spectrum_db[:, -2 : -neighbours - 2 : -1]
    width = 2 * neighbours + 1
    mirrored = np.concatenate((left, spectrum_db, right), axis=1)
    return spectrum_db - _moving_sum(mirrored, width) * np.float32(1.0 / width)


def _moving_sum(values: FloatArray, width: int) -> FloatArray:
    """The sum of each run of ``width`` columns, from runs of 1, 2, 4 ... columns.

    Shape: ``(n_rows, n)`` to ``(n_rows, n - width + 1)``. The rows are summed as one long row,
    which is faster; runs that reach into the next row are left out.
    """
    runs = values.reshape(-1)
    total = np.zeros(len(runs), dtype=np.float32)
    within = total[: len(runs) - width + 1]
    length, start = 1, 0
    while True:
        if width & length:
            within += runs[start : start + len(within)]
            start += length
        if 2 * length > width:
            return total.reshape(values.shape)[:, : values.shape[1] - width + 1]
        runs = runs[:-length] + runs[length:]
        length *= 2


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
