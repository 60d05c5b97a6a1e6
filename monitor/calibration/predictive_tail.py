"""A threshold for peaks from few recordings, with a prior from other machines.

The peaks of a spectrum are counted in healthy standard deviations. So their largest values are
about the same for every machine, and other machines show how much they vary from recording to
recording. The largest values of the recordings are taken as normally distributed. Their variance
is the average of the one that is measured and that of the prior. The threshold is the quantile of
Student's predictive distribution for one more recording (Gelman et al. 2013, Bayesian Data
Analysis, section 3.3).

Fewer than six recordings may lack an operating state, such as a speed, and then show far too small
a variance. What is rarer than one in twenty of them is extrapolated six times as far, divided by
their number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from monitor.domain import DoubleArray

CAUTIOUS_BELOW = 6
_SHOWN = 0.05


@dataclass(frozen=True, slots=True)
class SpreadPrior:
    """How much the largest values of recordings vary on other machines.

    ``relative``: their standard deviation over their mean. ``recordings``: how many recordings
    the prior counts for.
    """

    relative: float
    recordings: float = 16.0


def predictive_thresholds(
    groups: Sequence[DoubleArray], allowed: Sequence[float], prior: SpreadPrior
) -> list[float]:
    """The values over which no more than ``allowed`` values are, for each of ``allowed``.

    ``groups``: the values of each recording, at least one recording and none empty. The result is
    at least the largest value.
    """
    largest = np.array([float(group.max()) for group in groups])
    n = len(largest)
    mean, squares = float(largest.mean()), float(np.square(largest - largest.mean()).sum())
    freedom = n - 1 + prior.recordings
    variance = (squares + prior.recordings * (prior.relative * mean) ** 2) / freedom
    deviation = math.sqrt(variance * (1.0 + 1.0 / n))
    per_recording = sum(map(len, groups)) / n
    shown, caution = student_quantile(_SHOWN, freedom), max(0.0, CAUTIOUS_BELOW / n - 1.0)
    quantiles = [student_quantile(min(0.5, one * per_recording), freedom) for one in allowed]
    return [
        max(
            float(largest.max()),
            mean + deviation * (quantile + caution * max(0.0, quantile - shown)),
        )
        for quantile in quantiles
    ]


def student_quantile(probability: float, freedom: float) -> float:
    """The value that Student's t exceeds with this probability, at most 1/2.

    ``freedom`` is at least 3. The expansion of Hill (1970, Communications of the ACM 13,
    algorithm 396), within 1e-4 of the value for ``probability`` from 1e-9.
    """
    z = -NormalDist().inv_cdf(max(probability, 1e-300))
    a = 1.0 / (freedom - 0.5)
    b = 48.0 / a**2
    c = ((20_700.0 * a / b - 98.0) * a - 16.0) * a + 96.36
    d = ((94.5 / (b + c) - 3.0) / b + 1.0) * math.sqrt(a * math.pi / 2.0) * freedom
    two_sided = 2.0 * probability
    y = (d * two_sided) ** (2.0 / freedom)
    if y > 0.05 + a:
        square = z**2
        if freedom < 5.0:
            c += 0.3 * (freedom - 4.5) * (z + 0.6)
        c += (((0.05 * d * z - 5.0) * z - 7.0) * z - 2.0) * z + b
        y = (
            ((((0.4 * square + 6.3) * square + 36.0) * square + 94.5) / c - square - 3.0) / b + 1
        ) * z
        y = math.expm1(a * y**2)
    else:
        y = (
            (
                1.0
                / (((freedom + 6.0) / (freedom * y) - 0.089 * d - 0.822) * (freedom + 2.0) * 3.0)
                + 0.5 / (freedom + 4.0)
            )
            * y
            - 1.0
        ) * (freedom + 1.0) / (freedom + 2.0) + 1.0 / y
    return math.sqrt(freedom * y)
