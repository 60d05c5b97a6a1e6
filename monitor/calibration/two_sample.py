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
    """How often a new value is above an own one, and the chance of that where they are alike.

    The chance is that of the normal approximation, with its continuity correction. (1/2, 1)
    where there is nothing to compare.
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

    ``strength``: the mean of the squared t statistics over its expectation, 1 where only chance
    is at work. ``size``: the mean squared shift in variances of a number, chance taken away.
    """

    strength: float
    size: float


def mean_shift(own: Sample, new: Sample) -> Shift | None:
    """The shift between two samples, None where they are worth four recordings or fewer.

    Recordings that vary much less than those of the other set were made in one state of
    the machine. They count for less than they are, because the shift that they have in
    common may be that state's.
    """
    spread_own, spread_new = _spreads(own, new)
    n_own, n_new = _worth(own.n, spread_own, spread_new), _worth(new.n, spread_new, spread_own)
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
    """How much each sample varies, every number with the same say."""
    pooled = _pooled(own, new, own.n - 1.0, new.n - 1.0)
    return float(np.mean(own.variance / pooled)), float(np.mean(new.variance / pooled))


def _worth(n: int, spread: float, spread_of_others: float) -> float:
    """As how many independent recordings ``n`` count."""
    return 1.0 + (n - 1) * min(1.0, spread / max(spread_of_others, _LEAST_VARIANCE))
