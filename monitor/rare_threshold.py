"""A threshold that healthy values pass more rarely than was ever heard.

What a budget of alarms counts is not values but runs of them: an alert stands for as long as a
run does, and hysteresis keeps it standing beyond that. So the
tail that is extrapolated is that of the largest value of every run over a start (declustering;
Coles 2001, An Introduction to Statistical Modeling of Extreme Values, section 5.3). Value by
value, a single odd recording, whose every value is high, is taken for so many independent ones.

Where a machine has a quieter and a louder state, the gap between them is no tail either, and a
start beneath it takes it for one. So several starts are tried, and the lowest threshold counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from monitor.generalised_pareto import fit_generalised_pareto

_TAIL_SHARES = (1 / 2, 1 / 4, 1 / 8, 1 / 16)
_LEAST_TAIL = 10
"""Fewer values say too little of their tail. It begins lower then, which is cautious, and from
fewer than twenty values takes the gap between two states for a tail after all."""
_LIGHTEST_SHAPE, _HEAVIEST_SHAPE = -0.05, 0.1
"""From few runs any other shape is noise. A heavier tail makes a threshold that no fault passes,
a lighter one ends soon: it says that a healthy machine can hardly be louder than it was."""
_BOOTSTRAPS = 200
_CONFIDENCE = 0.95
_LEAST_GROUPS = 5

FloatVector = npt.NDArray[np.float64]


def rare_threshold(groups: Sequence[FloatVector], allowed: float, seed: int) -> float:
    """The value over which no more than ``allowed`` runs begin per value, with some caution.

    ``groups``: the values of each recording in their order, at least one recording and none
    empty. For each start it is the upper end of a bootstrap over recordings; the lowest of
    these, and never less than the largest value. ``benchmarks/detection/budget.py`` holds it
    against the truth.
    """
    rng = np.random.default_rng(seed)
    drawn_from = pieces(groups)
    estimates = []
    for _ in range(_BOOTSTRAPS):
        drawn = [drawn_from[i] for i in rng.integers(0, len(drawn_from), len(drawn_from))]
        estimates.append([beyond(drawn, allowed, share) for share in _TAIL_SHARES])
    bounds = np.quantile(estimates, _CONFIDENCE, axis=0)
    return max(float(bounds.min()), *(float(group.max()) for group in groups))


def run_maxima(groups: Sequence[FloatVector], start: float) -> FloatVector:
    """The largest value of every unbroken run of values over ``start``; runs end with groups.

    ``groups``: none of them empty.
    """
    values = np.concatenate(groups)
    over = values > start
    goes_on = np.concatenate(([False], over[:-1]))
    goes_on[np.cumsum([len(group) for group in groups])[:-1]] = False
    begins = np.flatnonzero(over & ~goes_on)
    if not len(begins):
        return np.empty(0)
    # Up to the next run nothing else is over the start.
    maxima: FloatVector = np.maximum.reduceat(values, begins)
    return maxima


def pieces(groups: Sequence[FloatVector]) -> list[FloatVector]:
    """What a bootstrap draws from: recordings, or stretches of them where they are few.

    A stretch has about as many values as there are stretches (Kuensch 1989, Annals of
    Statistics 17: blocks that are drawn whole keep what follows on what). How much recordings
    differ from each other is lost with that: from fewer than five it is not known.
    """
    if len(groups) >= _LEAST_GROUPS:
        return list(groups)
    length = np.sqrt(sum(map(len, groups)))
    return [
        piece
        for values in groups
        for piece in np.array_split(values, max(1, round(len(values) / length)))
    ]


def beyond(groups: Sequence[FloatVector], allowed: float, share: float) -> float:
    """The threshold without caution, by peaks over a start (Coles 2001, section 4.3).

    The start is what ``share`` of the values pass, or ten of them where that is more.
    """
    ordered = np.sort(np.concatenate(groups))
    n_values = len(ordered)
    n_tail = min(n_values - 1, max(_LEAST_TAIL, round(share * n_values)))
    start = float(ordered[-n_tail - 1])
    peaks = run_maxima(groups, start)
    if not len(peaks):
        return float(ordered[-1])
    tail = fit_generalised_pareto(peaks - start, lightest=_LIGHTEST_SHAPE, heaviest=_HEAVIEST_SHAPE)
    return start + tail.quantile(1.0 - allowed * n_values / len(peaks))
