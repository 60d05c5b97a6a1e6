"""What healthy values pass so seldom that it was never heard: the end of their tail.

An alert stands for as long as its machine is over the threshold, so what a budget of alarms
counts is not values but runs of them. The tail is therefore that of the largest value of each
run over a start (declustering; Coles 2001, An Introduction to Statistical Modeling of Extreme
Values, section 5.3). Without it a single odd recording, whose every value is high, is taken
for so many independent ones, and the threshold is anybody's guess: between half and twice
itself, depending on whether a bootstrap sample has that recording.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from monitor.generalised_pareto import fit_generalised_pareto

_TAIL_SHARE = 0.5
_LEAST_TAIL = 10
_LIGHTEST_SHAPE, _HEAVIEST_SHAPE = -0.05, 0.1
"""From few runs any other shape is noise. A heavier tail makes a threshold that no fault passes,
a lighter one ends: it says that a healthy machine can never be any louder than it was. With these
bounds thresholds are kept on simulated recordings (``benchmarks.detection.budget.py``)."""
_BOOTSTRAPS = 200
_CONFIDENCE = 0.9
_LEAST_GROUPS = 5

FloatVector = npt.NDArray[np.float64]


def far_quantile(groups: Sequence[FloatVector], allowed: float, seed: int) -> float:
    """The value that begins ``allowed`` runs per value, or one that is larger by caution.

    ``groups``: the values of each recording in their order, at least one. The upper end of a
    bootstrap over recordings, and never less than the largest value.
    """
    rng = np.random.default_rng(seed)
    pieces = _pieces(groups)
    resampled = [
        _estimate([pieces[i] for i in rng.integers(0, len(pieces), len(pieces))], allowed)
        for _ in range(_BOOTSTRAPS)
    ]
    bound = float(np.quantile(resampled, _CONFIDENCE))
    return max(_estimate(groups, allowed), bound, *(float(group.max()) for group in groups))


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
    # Up to the next run there are only values that are not over the start besides.
    maxima: FloatVector = np.maximum.reduceat(values, begins)
    return maxima


def _pieces(groups: Sequence[FloatVector]) -> list[FloatVector]:
    """What a bootstrap draws from: recordings, or stretches of them where they are few.

    A stretch has about as many values as there are stretches (Kuensch 1989, Annals of
    Statistics 17: blocks that are drawn whole keep what follows on what).
    """
    if len(groups) >= _LEAST_GROUPS:
        return list(groups)
    length = np.sqrt(sum(map(len, groups)))
    return [
        piece
        for values in groups
        for piece in np.array_split(values, max(1, round(len(values) / length)))
    ]


def _estimate(groups: Sequence[FloatVector], allowed: float) -> float:
    """By peaks over a threshold (Coles 2001, section 4.3), a peak a run."""
    ordered = np.sort(np.concatenate(groups))
    n_values = len(ordered)
    n_tail = min(n_values - 1, max(_LEAST_TAIL, round(_TAIL_SHARE * n_values)))
    start = float(ordered[-n_tail - 1])
    peaks = run_maxima(groups, start)
    if not len(peaks):
        return float(ordered[-1])
    tail = fit_generalised_pareto(peaks - start, lightest=_LIGHTEST_SHAPE, heaviest=_HEAVIEST_SHAPE)
    return start + tail.quantile(1.0 - allowed * n_values / len(peaks))
