"""A threshold that healthy values exceed more rarely than any recording can show.

The budget counts alarms, and one alarm is one run of values over the threshold: an alert stays
open for the whole run. So the largest value of each run is extrapolated, not every value
(declustering; Coles 2001, An Introduction to Statistical Modeling of Extreme Values, section 5.3).
Otherwise one unusual recording, whose every value is high, counts as many independent values.
The tail is a generalised Pareto distribution over a start value.

A machine with a quiet and a loud state has a gap between them. A start below that gap mistakes it
for a tail. So several starts are tried, and the lowest threshold is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.domain import DoubleArray

_PRIOR_WEIGHT = 30.0
_PRIOR_SHAPE = 0.0


@dataclass(frozen=True, slots=True)
class GeneralisedPareto:
    """Excesses ``x >= 0`` with ``P(X > x) = (1 + shape x / scale)^(-1 / shape)``."""

    shape: float
    scale: float

    def quantile(self, probability: float) -> float:
        """The excess that is exceeded with chance ``1 - probability``, 0 for ``<= 0``."""
        if probability <= 0.0 or self.scale <= 0.0:
            return 0.0
        beyond = -math.log1p(-probability)
        if abs(self.shape) < 1e-9:
            return self.scale * beyond
        return self.scale * math.expm1(self.shape * beyond) / self.shape


def fit_generalised_pareto(
    excesses: DoubleArray, *, lightest: float, heaviest: float
) -> GeneralisedPareto:
    """Zhang and Stephens' (2009, Technometrics 51) quasi-Bayesian estimate.

    ``excesses``: shape ``(n,)``, >= 0, at least one. The shape is drawn towards 0
    (an exponential tail) with the weight of thirty observations, as Vehtari, Simpson,
    Gelman, Yao and Gabry (Pareto smoothed importance sampling, 2024) draw theirs
    towards one half, and kept from ``lightest`` to ``heaviest``.
    """
    x = np.sort(np.asarray(excesses, dtype=np.float64))
    n = len(x)
    mean = float(x.mean())
    if mean <= 0.0 or x[-1] <= 0.0:
        return GeneralisedPareto(0.0, 0.0)
    quartile = max(float(x[max(0, int(n / 4 + 0.5) - 1)]), 1e-3 * mean)
    grid = 30 + int(math.sqrt(n))
    candidates = 1.0 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))
    theta = 1.0 / x[-1] + candidates / (3.0 * quartile)
    shapes = np.log1p(-theta[:, None] * x).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        likelihood = n * (np.log(-theta / shapes) - shapes - 1.0)
    likelihood[~np.isfinite(likelihood)] = -np.inf
    weights = np.exp(likelihood - likelihood.max())
    best = float(theta @ (weights / weights.sum()))
    raw_shape = float(np.log1p(-best * x).mean())
    shape = (n * raw_shape + _PRIOR_WEIGHT * _PRIOR_SHAPE) / (n + _PRIOR_WEIGHT)
    shape = float(np.clip(shape, lightest, heaviest))
    # The mean of the distribution is scale / (1 - shape): keep the mean of the excesses.
    return GeneralisedPareto(shape, mean * (1.0 - shape))


_TAIL_SHARES = (1 / 2, 1 / 4, 1 / 8, 1 / 16)
_LEAST_TAIL = 10
"""The tail has at least so many values: fewer do not show its shape. From fewer than twenty values
the tail therefore begins lower, which is cautious, and may include the gap between two states."""
_LIGHTEST_SHAPE, _HEAVIEST_SHAPE = -0.05, 0.1
"""From few runs any shape outside these is noise. A heavier tail gives a threshold that no fault
reaches. A lighter tail ends early and gives a threshold that healthy sound soon reaches."""
_BOOTSTRAPS = 200
_CONFIDENCE = 0.95
_LEAST_GROUPS = 5


def rare_threshold(groups: Sequence[DoubleArray], allowed: float, seed: int) -> float:
    """:func:`rare_thresholds` for one share."""
    return rare_thresholds(groups, [allowed], seed)[0]


def rare_thresholds(
    groups: Sequence[DoubleArray], allowed: Sequence[float], seed: int
) -> list[float]:
    """The values over which no more than ``allowed`` runs begin per value, with some caution.

    ``groups``: the values of each recording in their order, at least one recording and none
    empty. For each start, the estimate is the upper end of a bootstrap over recordings. The result
    is the lowest of these estimates, and at least the largest value.
    ``benchmarks/detection/budget.py`` compares it with known distributions.
    """
    rng = np.random.default_rng(seed)
    drawn_from = pieces(groups)
    estimates = []
    for _ in range(_BOOTSTRAPS):
        drawn = [drawn_from[i] for i in rng.integers(0, len(drawn_from), len(drawn_from))]
        tails = [tail_of(drawn, share) for share in _TAIL_SHARES]
        estimates.append([[tail.exceeded_by(one) for one in allowed] for tail in tails])
    bounds = np.quantile(estimates, _CONFIDENCE, axis=0).min(axis=0)
    largest = max(float(group.max()) for group in groups)
    return [max(float(bound), largest) for bound in bounds]


def run_maxima(groups: Sequence[DoubleArray], start: float) -> DoubleArray:
    """The largest value of every unbroken run of values over ``start``. A run ends with its group.

    ``groups``: none of them empty.
    """
    values = np.concatenate(groups)
    over = values > start
    goes_on = np.concatenate(([False], over[:-1]))
    goes_on[np.cumsum([len(group) for group in groups])[:-1]] = False
    begins = np.flatnonzero(over & ~goes_on)
    if not len(begins):
        return np.empty(0)
    # No other value up to the next run is over the start.
    maxima: DoubleArray = np.maximum.reduceat(values, begins)
    return maxima


def pieces(groups: Sequence[DoubleArray]) -> list[DoubleArray]:
    """The units of the bootstrap: recordings, or parts of them where there are fewer than five.

    A part has about as many values as there are parts (Kuensch 1989, Annals of Statistics 17:
    blocks keep the order of dependent values). The differences between recordings are lost in
    this way; fewer than five recordings do not show them.
    """
    if len(groups) >= _LEAST_GROUPS:
        return list(groups)
    length = np.sqrt(sum(map(len, groups)))
    return [
        piece
        for values in groups
        for piece in np.array_split(values, max(1, round(len(values) / length)))
    ]


@dataclass(frozen=True, slots=True)
class PeakTail:
    """The tail of ``n_peaks`` peaks over ``start`` among ``n_values`` values."""

    start: float
    n_values: int
    n_peaks: int
    excesses: GeneralisedPareto | None

    def exceeded_by(self, allowed: float) -> float:
        """The value over which ``allowed`` runs begin per value."""
        if self.excesses is None:
            return self.start
        return self.start + self.excesses.quantile(1.0 - allowed * self.n_values / self.n_peaks)


def tail_of(groups: Sequence[DoubleArray], share: float) -> PeakTail:
    """The tail of one bootstrap sample, by peaks over a start (Coles 2001, section 4.3).

    The start is the value that ``share`` of the values exceed, or ten values if that is more.
    """
    ordered = np.sort(np.concatenate(groups))
    n_values = len(ordered)
    n_tail = min(n_values - 1, max(_LEAST_TAIL, round(share * n_values)))
    start = float(ordered[-n_tail - 1])
    peaks = run_maxima(groups, start)
    if not len(peaks):
        return PeakTail(float(ordered[-1]), n_values, 0, None)
    tail = fit_generalised_pareto(peaks - start, lightest=_LIGHTEST_SHAPE, heaviest=_HEAVIEST_SHAPE)
    return PeakTail(start, n_values, len(peaks), tail)
