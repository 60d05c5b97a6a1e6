"""Operating states in healthy values: a quiet and a loud state are not the tail of each other.

The recordings of a machine with two operating states have two groups of values with a gap between
them. An extrapolated tail that contains the gap gives a threshold that no fault reaches. So the
values of the quieter state are moved up to the loudest state, and the tail shows the variation
within a state.

States are found from the means of the recordings alone. One or two odd recordings are not a state:
they are the tail. The squares of distances are similar to chi-squares, whose cube root is nearly
normal (Wilson and Hilferty 1931, Proc. Nat. Acad. Sci. 17), so gaps are measured in cube roots.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

import numpy as np
import numpy.typing as npt

from monitor.domain import DoubleArray

LEAST_FILES = 6
_LEAST_OF_STATE = 2
_POWER = 1.0 / 3.0


def in_the_loudest_state(
    groups: Sequence[DoubleArray], files: Sequence[int] | None = None
) -> list[DoubleArray]:
    """The values as if the machine were in its loud state in every recording.

    ``groups``: the values of each recording, none empty. ``files``: of each recording, the number
    of the file that it is a part of; None if each is a file. With one state, the values
    themselves.
    """
    loud = is_loud(groups, files)
    if not loud.any():
        return list(groups)
    quiet_mean, loud_mean = (
        np.concatenate(list(compress(groups, state))).mean() for state in (~loud, loud)
    )
    return [
        group if own else group + (loud_mean - quiet_mean)
        for group, own in zip(groups, loud, strict=True)
    ]


def is_loud(
    groups: Sequence[DoubleArray], files: Sequence[int] | None = None
) -> npt.NDArray[np.bool_]:
    """Whether the machine is in its loud state, for each recording: none with one state only.

    Shape: ``(n_recordings,)``. One state if the recordings are of fewer than ``LEAST_FILES``
    files. Both states have recordings of at least two files: one odd file may be the tail. A
    third state stays a part of the quiet or of the loud one.
    """
    file = np.arange(len(groups)) if files is None else np.asarray(files)
    if len(np.unique(file)) < LEAST_FILES:
        return np.zeros(len(groups), dtype=bool)
    roots = [np.power(np.maximum(group, 0.0), _POWER) for group in groups]
    noise = _noise_of_a_mean(roots)
    means = np.array([root.mean() for root in roots])
    widest, loud = least_gap(len(means)), np.zeros(len(means), dtype=bool)
    for start in np.unique(means)[1:]:
        above = means >= start
        states = (means[~above], means[above])
        if min(len(np.unique(file[~above])), len(np.unique(file[above]))) < _LEAST_OF_STATE:
            continue
        squares = sum(float(np.square(state - state.mean()).sum()) for state in states)
        deviation = np.sqrt(squares / (len(means) - 2) + noise**2)
        gap = float((states[1].min() - states[0].max()) / max(float(deviation), 1e-12))
        if gap > widest:
            widest, loud = gap, above
    return loud


def least_gap(n_recordings: int) -> float:
    """Between the states, in standard deviations of the recordings within a state.

    Of sets of recordings of one state, with normal values or with Student's values of five degrees
    of freedom, at most 2 % have such a gap with at least two recordings on each side.
    """
    return 2.0 + 9.0 / max(1, n_recordings - 4)


def _noise_of_a_mean(roots: Sequence[DoubleArray]) -> float:
    """The standard deviation of a recording's mean that its own values explain."""
    free = sum(len(root) - 1 for root in roots)
    if free == 0:
        return 0.0
    squares = sum(float(np.square(root - root.mean()).sum()) for root in roots)
    return float(np.sqrt(squares / free / np.mean([len(root) for root in roots])))
