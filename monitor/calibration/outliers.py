"""Recordings that do not fit the other healthy ones: possibly faulty, or another machine's.

One faulty recording among twelve raises the threshold so far that the fault is never detected.
The scores come from statistics that did not use the recording. They are sorted, and the
recordings above a jump are outliers, and so are recordings that are far from every other one: two
faulty recordings keep each other's score low, but are seldom as alike as two healthy ones. The
limits were chosen on real and simulated machines (``benchmarks/field/training_sets.py``). Two
recordings of one operating state keep each other's score low, and are near each other. A single
recording of a state cannot be told from a fault.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

JUMP = 1.7
"""An outlier scores at least this many times as high as every recording that fits,"""
TIMES_MEDIAN = 2.3
"""and at least this many times the median of those,"""
TIMES_MEDIAN_OF_FEW = 4.0
"""or this many where there are fewer than eight recordings."""
JUMP_OF_DISTANCE = 2.5
"""An outlier may also be this many times as far from its nearest neighbour as all that fit,"""
TIMES_MEDIAN_DISTANCE = 4.5
"""and this many times the median of their distances."""
MOST_LEFT_OUT = 5
"""At most one recording of this many is left out."""
_NEAREST_OF = 1.2
_APART = 4.0
_LEAST_DEVIATION = 0.05
_FEW = 8

FloatArray = npt.NDArray[np.float64]

RULE = (
    f"the score is at least {JUMP:g} times the highest and {TIMES_MEDIAN:g} times the median score "
    f"of the recordings that fit ({TIMES_MEDIAN_OF_FEW:g} times among fewer than {_FEW}), or the "
    f"distance to the nearest recording is at least {JUMP_OF_DISTANCE:g} times the largest and "
    f"{TIMES_MEDIAN_DISTANCE:g} times the median of those that fit (not among fewer than {_FEW}); "
    f"at most 1 of {MOST_LEFT_OUT} is left out"
)


def find_outliers(scores: Sequence[float], distances: FloatArray | None = None) -> list[int]:
    """The recordings that do not fit the others, in rising order.

    ``scores``: of each whole recording, by statistics that did not use it. ``distances``:
    ``(n, n)`` as from :func:`distances_between`; with them, a recording that is the nearest
    neighbour of one that fits is none, because both may be of one operating state, and a
    recording far from all others is one.
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


def _above_a_jump(values: FloatArray, jump: float, times_median: float) -> list[int]:
    """The largest values that are ``jump`` times all others and ``times_median`` their median.

    At most one of ``MOST_LEFT_OUT``, as indices in rising order.
    """
    order = np.argsort(-values, kind="stable")
    n_above = 0
    for n_largest in range(1, len(values) // MOST_LEFT_OUT + 1):
        lowest, others = values[order[n_largest - 1]], values[order[n_largest:]]
        if lowest >= max(jump * others.max(), times_median * float(np.median(others))):
            n_above = n_largest
    above: list[int] = sorted(order[:n_above].tolist())
    return above


def small_groups(distances: FloatArray) -> list[tuple[int, ...]]:
    """Groups of two or more recordings, at most a fifth of all, that are far from all others.

    They are an operating state that was recorded seldom, or a fault that was recorded twice.
    ``distances``: ``(n, n)``. None is found among fewer than eight recordings.
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


def distances_between(positions: Sequence[FloatArray]) -> FloatArray:
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
    distances: FloatArray = np.sqrt(np.maximum(squared, 0.0) / rows.shape[1])
    np.fill_diagonal(distances, np.inf)
    return distances


def _is_supported(index: int, outliers: Sequence[int], distances: FloatArray) -> bool:
    """Whether a recording that fits has this one nearest, or nearly so."""
    fitting = np.setdiff1d(np.arange(len(distances)), outliers)
    nearest = distances[fitting].min(axis=1)
    return bool((distances[index, fitting] <= _NEAREST_OF * nearest).any())
