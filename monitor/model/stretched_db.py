"""Prominences in stretched decibels: as the amplitude up to a limit, as decibels above it.

A fault that is faint, or that comes and goes, changes the mean of amplitudes more than the mean of
decibels. But one loud second changes the mean of amplitudes most of all. So a value grows as the
amplitude up to a limit, and above it as decibels.

The stretched value of ``p`` dB is ``20 / ln(10) (10^(p / 20) - 1)`` up to the limit, and goes on
straight with the slope that it has there. At 0 dB it is 0, with a slope of 1.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from monitor.domain import DoubleArray, FloatArray

_PER_NEPER_DB = 20.0 / math.log(10.0)
_QUANTILES = 100_000


def stretched(values_db: npt.NDArray[np.floating], limit_db: float) -> DoubleArray:
    """Shape in, shape out. ``limit_db``: at least 0; with 0 the values stay as they are."""
    row = np.array(values_db, dtype=np.float64)
    if limit_db:
        stretch(row, limit_db)
    return row


def stretch(values_db: FloatArray | DoubleArray, limit_db: float) -> None:
    """:func:`stretched`, in place. ``limit_db``: more than 0."""
    kind = values_db.dtype.type
    low = np.minimum(values_db, kind(limit_db))
    np.subtract(values_db, low, out=values_db)
    np.multiply(values_db, kind(_slope(limit_db)), out=values_db)
    np.multiply(low, kind(1.0 / _PER_NEPER_DB), out=low)
    np.exp(low, out=low)
    np.subtract(low, kind(1.0), out=low)
    np.multiply(low, kind(_PER_NEPER_DB), out=low)
    np.add(values_db, low, out=values_db)


def unstretched(values: DoubleArray, limit_db: float) -> DoubleArray:
    """The decibels of stretched values, which must be more than those of any. Shape in, out."""
    if not limit_db:
        return values
    limit = _PER_NEPER_DB * (_slope(limit_db) - 1.0)
    low = np.minimum(values, limit)
    found: DoubleArray = _PER_NEPER_DB * np.log1p(low / _PER_NEPER_DB) + (values - low) / _slope(
        limit_db
    )
    return found


def slopes_of_stretched(values: DoubleArray, limit_db: float) -> DoubleArray:
    """:func:`slopes` at stretched values. Shape in, shape out."""
    return slopes(unstretched(values, limit_db), limit_db)


def slopes(values_db: DoubleArray, limit_db: float) -> DoubleArray:
    """How much the stretched value grows for each decibel. Shape in, shape out."""
    found: DoubleArray = np.exp(np.minimum(values_db, limit_db) / _PER_NEPER_DB)
    return found if limit_db else np.ones_like(values_db)


@lru_cache(maxsize=8)
def variance_of_noise(limit_db: float) -> float:
    """The variance of a bin of noise over that of its decibels.

    The variance of its stretched decibels is divided by the square of the slope at their mean, as
    is that of a tone. The power of a bin has an exponential distribution. Its prominence is above
    the mean of the logarithm.
    """
    if not limit_db:
        return 1.0
    power = -np.log1p(-(np.arange(_QUANTILES) + 0.5) / _QUANTILES)
    values = stretched(10.0 * np.log10(power) + 10.0 * np.euler_gamma / math.log(10.0), limit_db)
    slope = slopes_of_stretched(values.mean(keepdims=True), limit_db)[0]
    return float(values.var() / slope**2) / ((10.0 / math.log(10.0)) ** 2 * math.pi**2 / 6.0)


def _slope(values_db: float) -> float:
    return math.exp(values_db / _PER_NEPER_DB)
