"""A threshold that a few of many healthy values exceed.

The largest of 175 values is exceeded by one of 176 new ones on average. But it is the value of a
single recording: for one machine it is too low, and for another so high that it hides most faults.
The largest eighth of the values shows the same more precisely. Its tail is taken as exponential.
The ``k`` largest values have a mean excess ``m`` over the next one, which a new value exceeds with
the chance ``(k + 1) / (n + 1)``. A new excess is over ``x`` with the chance ``(1 + x / (k m))^-k``:
the predictive distribution for an unknown scale (Gelman et al. 2013, Bayesian Data Analysis,
section 2.6). For an exponential tail the chance is exact.
"""

from __future__ import annotations

import math

import numpy as np

from monitor.domain import DoubleArray

FEW = 5
"""So many exceedances are counted."""
LEAST_VALUES = 80
"""An eighth of fewer values does not show the tail."""
_TAIL_SHARE = 1 / 8


def few_exceed(values: DoubleArray, allowed: float) -> float | None:
    """The value that a new one exceeds with the chance ``allowed``, from the tail of all values.

    ``values``: shape ``(n,)``, for example squared distances. ``allowed`` below
    ``1 / (n + 1)`` is raised to it, because what is rarer must be extrapolated. None if ``FEW`` of
    ``n + 1`` values or more may exceed it, or for fewer than ``LEAST_VALUES`` values: such a
    threshold is counted. The result is at least the largest value but ``FEW - 1``.
    """
    n = len(values)
    exceedances = max(1.0, allowed * (n + 1))
    if n < LEAST_VALUES or exceedances >= FEW:
        return None
    ordered = np.sort(values)
    k = round(_TAIL_SHARE * n)
    start = float(ordered[-k - 1])
    sum_of_excesses = float((ordered[-k:] - start).sum())
    threshold = start + sum_of_excesses * math.expm1(math.log((k + 1) / exceedances) / k)
    return max(threshold, float(ordered[-FEW]))
