"""Areas under the ROC curve, and intervals by resampling recordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monitor.domain import DoubleArray
from monitor.errors import UsageError

Interval = tuple[float, float]
"""The lower and the upper end of an interval of 95 %."""

_TAIL_PERCENT = 2.5


def roc_auc(anomalous: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve: P(anomalous score > normal score); ties count half.

    ``anomalous`` is true or 1 for anomalies; higher scores mean more anomalous. Raises UsageError
    unless there are normal and anomalous examples and all scores are finite.
    """
    return _area(*_curve(*_checked(anomalous, scores)))


def partial_auc(anomalous: ArrayLike, scores: ArrayLike, max_fpr: float = 0.1) -> float:
    """Return the area up to a false-positive rate of ``max_fpr``, standardised to 0.5 .. 1.

    The standardisation is that of McClish (1989): 0.5 for chance, 1 for a perfect score. A score
    that is worse than chance gives less than 0.5. Raises UsageError as :func:`roc_auc`, and for
    ``max_fpr`` outside of (0, 1].
    """
    if not 0 < max_fpr <= 1:
        raise UsageError(f"max_fpr is {max_fpr}; it must be in (0, 1]")
    false_rate, true_rate = _curve(*_checked(anomalous, scores))
    if max_fpr == 1:
        return _area(false_rate, true_rate)
    n_inside = int(np.searchsorted(false_rate, max_fpr, "right"))
    end = np.interp(max_fpr, false_rate[n_inside - 1 :][:2], true_rate[n_inside - 1 :][:2])
    area = _area(np.append(false_rate[:n_inside], max_fpr), np.append(true_rate[:n_inside], end))
    chance = 0.5 * max_fpr**2
    return float(0.5 * (1.0 + (area - chance) / (max_fpr - chance)))


def bootstrap_interval(
    groups: Sequence[DoubleArray],
    statistic: Callable[..., float],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval | None:
    """The 2.5th and the 97.5th percentile of a statistic over resampled recordings.

    ``groups``: the values of the recordings of each group, shape ``(n,)`` or ``(n, k)``; each
    group is drawn from itself, with replacement (Efron & Tibshirani 1993, chapter 13).
    ``statistic`` gets the groups as separate arguments. None if a group has fewer than two
    recordings: they say nothing about the spread.
    """
    if any(len(group) < 2 for group in groups):
        return None
    rng = np.random.default_rng(seed)
    values = [
        statistic(*(group[rng.integers(len(group), size=len(group))] for group in groups))
        for _ in range(resamples)
    ]
    low, high = np.percentile(values, [_TAIL_PERCENT, 100.0 - _TAIL_PERCENT])
    return float(low), float(high)


def _curve(labels: NDArray[np.bool_], values: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """False-positive and true-positive rates, rising, at every score that occurs, from (0, 0)."""
    order = np.argsort(-values, kind="stable")
    is_last = np.append(np.diff(values[order]) != 0, True)
    true, all_ = np.cumsum(labels[order])[is_last], np.flatnonzero(is_last) + 1
    true, false = np.append(0, true), np.append(0, all_ - true)
    return false / false[-1], true / true[-1]


def _area(x: DoubleArray, y: DoubleArray) -> float:
    return float(np.trapezoid(y, x))


def _checked(anomalous: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], DoubleArray]:
    labels = np.asarray(anomalous).astype(bool)
    values = np.asarray(scores, dtype=np.float64)
    if labels.shape != values.shape or labels.ndim != 1:
        raise UsageError(f"{labels.shape} labels do not fit {values.shape} scores")
    if labels.all() or not labels.any():
        raise UsageError("an ROC curve needs normal and anomalous examples; there is only one kind")
    if not np.isfinite(values).all():
        raise UsageError("an ROC curve needs finite scores; one is NaN or infinite")
    return labels, values
