"""Tests that compare new healthy recordings with those of a bundle.

``share_higher`` is the rank test of Mann and Whitney (1947, Ann. Math. Statist. 18): it assumes
nothing about the distribution of the values. ``mean_shift`` compares the means of many numbers
at once. A shift that all recordings of another machine share shows in their mean long before a
single recording is unusual. With more numbers than recordings no covariance can be estimated, so
the squared t statistics of the numbers are averaged, each with the variance of both samples
together (Srivastava and Du 2008, J. Multivariate Analysis 99).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.domain import DoubleArray
from monitor.model.head import Sample


def share_higher(new: Sequence[float], own: Sequence[float]) -> tuple[float, float]:
    """The share of pairs with the new value above the own one, and its probability by chance.

    The probability is that of the normal approximation with continuity correction, for equal
    distributions. (1/2, 1) where one side is empty.
    """
    if not new or not own:
        return 0.5, 1.0
    n_pairs = len(new) * len(own)
    pairs = np.subtract.outer(np.asarray(new), np.asarray(own))
    wins = float((pairs > 0).sum() + 0.5 * (pairs == 0).sum())
    deviation = math.sqrt(n_pairs * (len(new) + len(own) + 1) / 12.0)
    beyond = (wins - 0.5 * n_pairs - 0.5) / deviation
    return wins / n_pairs, 0.5 * math.erfc(beyond / math.sqrt(2.0))


_LEAST_VARIANCE = 1e-8


@dataclass(frozen=True, slots=True)
class Shift:
    """How two samples differ.

    ``strength``: the mean of the squared t statistics divided by its expectation, 1 by chance.
    ``size``: the mean squared shift in units of the variance, minus its expectation by chance.
    """

    strength: float
    size: float


def mean_shift(own: Sample, new: Sample) -> Shift | None:
    """The shift between two samples, None for four effective recordings or fewer.

    Recordings that vary much less than those of the other sample were made in one operating
    state. They count as fewer recordings, because their common shift may be that of the state.
    """
    spread_own, spread_new = _spreads(own, new)
    n_own, n_new = (
        _effective(own.n, spread_own, spread_new),
        _effective(new.n, spread_new, spread_own),
    )
    freedom = n_own + n_new - 2.0
    if freedom <= 2.0:
        return None
    variance = _pooled(own, new, n_own - 1.0, n_new - 1.0)
    squared = np.mean(np.square(own.mean - new.mean) / variance) * (freedom - 2.0) / freedom
    chance = 1.0 / n_own + 1.0 / n_new
    return Shift(float(squared) / chance, float(squared) - chance)


def _pooled(own: Sample, new: Sample, own_weight: float, new_weight: float) -> DoubleArray:
    summed = own_weight * own.variance + new_weight * new.variance
    pooled: DoubleArray = np.maximum(summed / (own_weight + new_weight), _LEAST_VARIANCE)
    return pooled


def _spreads(own: Sample, new: Sample) -> tuple[float, float]:
    """The mean variance of each sample in units of the pooled variance."""
    pooled = _pooled(own, new, own.n - 1.0, new.n - 1.0)
    return float(np.mean(own.variance / pooled)), float(np.mean(new.variance / pooled))


def _effective(n: int, spread: float, spread_of_others: float) -> float:
    """The number of independent recordings that ``n`` recordings count as."""
    return 1.0 + (n - 1) * min(1.0, spread / max(spread_of_others, _LEAST_VARIANCE))
