"""Recordings that do not fit the other healthy ones: possibly faulty, or another machine's.

One faulty recording among twelve raises the threshold so far that the fault is never detected.
The scores come from statistics that did not use the recording. They are sorted, and the
recordings above a jump are outliers. A recording that is far from every other one is also an
outlier: two faulty recordings lower each other's score, but are seldom as similar as two healthy
ones. The limits were chosen on real and simulated machines
(``benchmarks/field/training_sets.py``). Two recordings of one operating state lower each other's
score, and are near each other. A single recording of a state cannot be distinguished from a
fault.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.domain import DoubleArray

JUMP = 1.7
"""The score of an outlier is at least this many times the highest score that fits."""
TIMES_MEDIAN = 2.3
"""It is also at least this many times the median of the scores that fit."""
TIMES_MEDIAN_OF_FEW = 4.0
"""Used instead of ``TIMES_MEDIAN`` for fewer than eight recordings."""
JUMP_OF_DISTANCE = 2.5
"""For an outlier by distance: distance to the nearest recording, relative to the largest other."""
TIMES_MEDIAN_DISTANCE = 4.5
"""The same distance, relative to the median of the others."""
MOST_LEFT_OUT = 5
"""At most one of this number of recordings is left out."""
_NEAREST_OF = 1.2
_APART = 4.0
_LEAST_DEVIATION = 0.05
_FEW = 8


RULE = (
    f"the score is at least {JUMP:g} times the highest and {TIMES_MEDIAN:g} times the median score "
    f"of the recordings that fit ({TIMES_MEDIAN_OF_FEW:g} times among fewer than {_FEW}), or the "
    f"distance to the nearest recording is at least {JUMP_OF_DISTANCE:g} times the largest and "
    f"{TIMES_MEDIAN_DISTANCE:g} times the median of those that fit (not among fewer than {_FEW}); "
    f"at most 1 of {MOST_LEFT_OUT} is left out"
)


def find_outliers(scores: Sequence[float], distances: DoubleArray | None = None) -> list[int]:
    """The recordings that do not fit the others, in rising order.

    ``scores``: of each whole recording, by statistics that did not use it. ``distances``:
    ``(n, n)`` as from :func:`distances_between`. With them, a recording that is the nearest
    neighbour of one that fits is not an outlier, because both may be of one operating state. A
    recording that is far from all others is an outlier.
    """
    values = np.asarray(scores, dtype=np.float64)
    times_median = TIMES_MEDIAN if len(values) >= _FEW else TIMES_MEDIAN_OF_FEW
    outliers = _above_a_jump(values, JUMP, times_median)
    if distances is None:
        return outliers
    outliers = [index for index in outliers if not _is_supported(index, outliers, distances)]
    if len(values) < _FEW:
        return outliers
    isolated = _above_a_jump(distances.min(axis=1), JUMP_OF_DISTANCE, TIMES_MEDIAN_DISTANCE)
    both = sorted({*outliers, *isolated})
    return both if len(both) <= len(values) // MOST_LEFT_OUT else outliers


def _above_a_jump(values: DoubleArray, jump: float, times_median: float) -> list[int]:
    """The largest values that are ``jump`` times all others and ``times_median`` their median.

    Indices in rising order; at most one index of every ``MOST_LEFT_OUT``.
    """
    order = np.argsort(-values, kind="stable")
    n_above = 0
    for n_largest in range(1, len(values) // MOST_LEFT_OUT + 1):
        lowest, others = values[order[n_largest - 1]], values[order[n_largest:]]
        if lowest >= max(jump * others.max(), times_median * float(np.median(others))):
            n_above = n_largest
    above: list[int] = sorted(order[:n_above].tolist())
    return above


def small_groups(distances: DoubleArray) -> list[tuple[int, ...]]:
    """Groups of two or more recordings, at most a fifth of all, that are far from all others.

    They are an operating state that was recorded seldom, or a fault that was recorded twice.
    ``distances``: ``(n, n)``. Empty for fewer than eight recordings.
    """
    n_recordings = len(distances)
    if n_recordings < _FEW:
        return []
    near = distances <= _APART * float(np.median(distances.min(axis=1)))
    near |= np.eye(n_recordings, dtype=bool)
    group = np.arange(n_recordings)
    # The lowest number spreads to everything that is near, until nothing changes.
    while (spread := np.where(near, group, n_recordings).min(axis=1)).tolist() != group.tolist():
        group = spread
    members = [np.flatnonzero(group == number) for number in np.unique(group)]
    return [tuple(m.tolist()) for m in members if 2 <= len(m) <= n_recordings // MOST_LEFT_OUT]


def distances_between(positions: Sequence[DoubleArray]) -> DoubleArray:
    """How far recordings are from each other, in robust deviations of each number.

    ``positions``: the mean evidence of each recording, ``(d,)``. Shape: ``(n, n)``, infinite on
    the diagonal.
    """
    rows = np.stack(list(positions))
    median = np.median(rows, axis=0)
    deviations = 1.4826 * np.median(np.abs(rows - median), axis=0)
    rows = (rows - median) / np.hypot(deviations, _LEAST_DEVIATION)
    squares = np.square(rows).sum(axis=1)
    squared = squares[:, None] + squares[None, :] - 2.0 * rows @ rows.T
    distances: DoubleArray = np.sqrt(np.maximum(squared, 0.0) / rows.shape[1])
    np.fill_diagonal(distances, np.inf)
    return distances


def _is_supported(index: int, outliers: Sequence[int], distances: DoubleArray) -> bool:
    """Whether this is the nearest, or nearly the nearest, recording of one that fits."""
    fitting = np.setdiff1d(np.arange(len(distances)), outliers)
    nearest = distances[fitting].min(axis=1)
    return bool((distances[index, fitting] <= _NEAREST_OF * nearest).any())
