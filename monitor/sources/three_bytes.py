"""Are the bytes of a program samples of three bytes, read as samples of two or four?

Every third byte of such a stream is the high byte of a sample, which varies little, and the
bytes beside it take all values. In samples of two or four bytes, every third byte is a low one as
often as a high one.
"""

from __future__ import annotations

import math

import numpy as np

from monitor.domain import FloatArray
from monitor.sources.settings import SampleFormat

_SIZE = 3
_EVEN_POWER = (2.0**16 - 1.0) / 12.0
"""Of bytes that take all values equally often."""
_EVEN = 0.1
_MOST_HIGH = 0.75
"""Of the even power, in the high bytes: sound of 6 dB below full scale."""
_BOTH_SIGNS = 0.05

Bytes = np.ndarray[tuple[int, int], np.dtype[np.int8]]


def has_three_bytes(cell: bytes, stated: SampleFormat) -> bool:
    """Whether a piece of a stream of ``stated`` samples contains samples of three bytes.

    The first byte may be any one of a sample. Sound of more than 6 dB below full scale is
    recognised, unless it has so few steps that its low bytes are the same in all samples.
    """
    period = math.lcm(_SIZE, 2 if stated == "s16le" else 4)
    values = np.frombuffer(cell, np.int8)
    places: Bytes = values[: len(values) - len(values) % period].reshape(-1, period)
    power = _power(places)
    return any(
        _is_high(places[:, high::_SIZE], power[high::_SIZE]) and _has_low(places, power, high)
        for high in range(_SIZE)
    )


def _is_high(places: Bytes, power: FloatArray) -> bool:
    """Whether each of some places has the high bytes of sound. Shape: ``(n, n_places)``."""
    if (power > _MOST_HIGH * _EVEN_POWER).any():
        return False
    negative = (places < 0).mean(axis=0)
    return bool(((negative >= _BOTH_SIGNS) & (negative <= 1.0 - _BOTH_SIGNS)).all())


def _has_low(places: Bytes, power: FloatArray, high: int) -> bool:
    """Whether the places of the middle bytes or of the low bytes have all values."""
    middle, low = (slice((high + shift) % _SIZE, None, _SIZE) for shift in (2, 1))
    if _is_even(power[middle]) or _is_even(power[low]):
        return True
    return not places[:, low].any() and bool(places[:, middle].any(axis=0).all())


def _is_even(power: FloatArray) -> bool:
    """Whether the bytes of places with this power are spread evenly over all values."""
    return bool((np.abs(power / _EVEN_POWER - 1.0) <= _EVEN).all())


def _power(places: Bytes) -> FloatArray:
    """The mean square of the bytes of each place. Shape: ``(n, n_places)`` to ``(n_places,)``."""
    values = places.astype(np.float32)
    values *= values
    mean = np.full(len(values), 1.0 / len(values), dtype=np.float32)
    return np.asarray(mean @ values, dtype=np.float32)  # faster than a sum over few columns
