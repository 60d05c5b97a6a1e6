"""Do two sets of recordings differ in what they are on average?

The shift that nearly all recordings of another machine share is plain in their mean long
before any one of them is odd. With more numbers than recordings no covariance can be
estimated, so the squared t statistics of the numbers are averaged, each with the variance that
both sets show together (Srivastava and Du 2008, J. Multivariate Analysis 99).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
_LEAST_VARIANCE = 1e-8


@dataclass(frozen=True, slots=True)
class Sample:
    """``n`` recordings by the ``mean`` and the unbiased ``variance`` of each number.

    Shape: ``(d,)`` both; ``n`` is at least 2.
    """

    mean: FloatArray
    variance: FloatArray
    n: int


@dataclass(frozen=True, slots=True)
class Shift:
    """How two samples differ.

    ``strength``: the mean of the squared t statistics over its expectation, 1 where only chance
    is at work. ``size``: the mean squared shift in variances of a number, chance taken away.
    """

    strength: float
    size: float


def sample_of(rows: FloatArray) -> Sample:
    """Shape: ``(n, d)``, ``n`` at least 2."""
    return Sample(rows.mean(axis=0), rows.var(axis=0, ddof=1), len(rows))


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


def _pooled(own: Sample, new: Sample, own_weight: float, new_weight: float) -> FloatArray:
    summed = own_weight * own.variance + new_weight * new.variance
    pooled: FloatArray = np.maximum(summed / (own_weight + new_weight), _LEAST_VARIANCE)
    return pooled


def _spreads(own: Sample, new: Sample) -> tuple[float, float]:
    """How much each sample varies, every number with the same say."""
    pooled = _pooled(own, new, own.n - 1.0, new.n - 1.0)
    return float(np.mean(own.variance / pooled)), float(np.mean(new.variance / pooled))


def _worth(n: int, spread: float, spread_of_others: float) -> float:
    """As how many independent recordings ``n`` count."""
    return 1.0 + (n - 1) * min(1.0, spread / max(spread_of_others, _LEAST_VARIANCE))
