"""Scores to the values of blocks, each of which is one chance of a false alarm."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from monitor.detection.persistence import Persistence
from monitor.detection.persistent_scores import persistent_scores
from monitor.domain import DoubleArray

WEEK_S = 7 * 24 * 3600.0


def by_file(values: Sequence[DoubleArray], file: Sequence[int]) -> list[DoubleArray]:
    """The values of the recordings of each file, in their order, as one array."""
    together: dict[int, list[DoubleArray]] = {}
    for number, one in zip(file, values, strict=True):
        together.setdefault(number, []).append(one)
    return [np.concatenate(parts) for parts in together.values()]


def block_values(scores: DoubleArray, rule: Persistence, per_block: int) -> DoubleArray:
    """The largest persistent score of each block of about ``per_block`` scores.

    Shape: ``(n_scores,)`` to ``(n_blocks,)``, at least one. A block raises a false alarm exactly
    when its value is over the threshold.
    """
    return maxima(persistent_scores(scores, rule), per_block)


def maxima(persistent: DoubleArray, per_block: int) -> DoubleArray:
    n_blocks = max(1, round(len(persistent) / per_block))
    return np.array([part.max() for part in np.array_split(persistent, n_blocks)])


def counted_thresholds(
    values: DoubleArray,
    allowed: Sequence[float],
    extrapolated: Callable[[list[float]], Sequence[float]],
) -> list[tuple[float, bool]]:
    """For each of ``allowed``, the threshold that so many of the values exceed.

    With whether it was counted. The others come from ``extrapolated``, which gets those of
    ``allowed`` that are too rare to be counted, and is not called if there are none.
    """
    ordered, n = np.sort(values), len(values)
    ranks = [math.ceil((n + 1) * (1.0 - one)) for one in allowed]
    rare = [one for one, rank in zip(allowed, ranks, strict=True) if rank > n]
    beyond = iter(extrapolated(rare) if rare else ())
    return [
        (float(ordered[max(rank, 1) - 1]), True) if rank <= n else (next(beyond), False)
        for rank in ranks
    ]


def decorrelation(series: Sequence[DoubleArray]) -> int:
    """The lag in scores at which the autocorrelation, pooled over recordings, falls to 1/e."""
    centred = [s - s.mean() for s in series if len(s) > 2]
    power = sum(float(s @ s) for s in centred)
    if power <= 0:
        return 1
    longest = max(len(s) for s in centred)
    for lag in range(1, longest // 2):
        covariance = sum(float(s[:-lag] @ s[lag:]) for s in centred if len(s) > lag)
        if covariance < power / math.e:
            return lag
    return max(1, longest // 2)
