"""The healthy range of starts and running time, from the days on which a machine was learned."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from monitor.detection.duty_cycle import DutyPart
from monitor.domain import DoubleArray
from monitor.model.operation import HealthyDuty

PARTS_A_DAY = 24
LEAST_DAYS = 6
"""Any six days contain a day of a weekend, on which many machines run less."""
_LEAST_WINDOWS = 6
_DEVIATIONS = 4.0
_SHARE_OF_EXTREME = 0.5
_LEAST_STARTS = 3.0
_LEAST_SHARE = 0.1
_BUSY = 0.25
"""Share of the highest value above which the machine is busy."""


def healthy_duty(parts: Sequence[DutyPart], over_s: float) -> HealthyDuty:
    """The healthy range over ``over_s`` of sound. A limit that the days do not support is None.

    ``parts``: hours of sound, ``PARTS_A_DAY`` of them are a day; the newest may be incomplete.
    There are no limits for less than ``LEAST_DAYS``, or if ``over_s`` is shorter than a part or
    longer than a sixth of the time.

    Each limit is the extreme of all windows of ``over_s`` and a margin. The margin is the largest
    of four standard deviations, half of the extreme, and 3 starts or 10 % of the time. The
    deviation is that between the same hours of successive days, so that day and night do not
    enter it. If starts are independent of each other, it is that of a Poisson distribution.
    """
    complete = parts[:-1]
    if len(complete) < LEAST_DAYS * PARTS_A_DAY:
        return HealthyDuty()
    observed_s = np.array([part.observed_s for part in complete])
    n = math.floor(over_s / float(observed_s.mean()) + 0.01)
    if not 1 <= n <= len(complete) // _LEAST_WINDOWS:
        return HealthyDuty()
    seconds = _sums(observed_s, n)
    starts = _sums(np.array([part.starts for part in complete], dtype=np.float64), n)
    share = _sums(np.array([part.running_s for part in complete]), n) / seconds
    lag = PARTS_A_DAY * math.ceil(n / PARTS_A_DAY)

    most = float(starts.max())
    most += max(_LEAST_STARTS, _SHARE_OF_EXTREME * most, _DEVIATIONS * _deviation(starts, lag))
    low, high = float(share.min()), float(share.max())
    margin = max(_LEAST_SHARE, _DEVIATIONS * _deviation(share, lag))
    least_share = low - max(margin, _SHARE_OF_EXTREME * low)
    most_share = high + max(margin, _SHARE_OF_EXTREME * min(high, 1.0 - high))
    return HealthyDuty(
        most_starts_per_h=most / (float(seconds.mean()) / 3600.0),
        least_running_share=least_share if least_share > 0.0 else None,
        most_running_share=most_share if most_share < 1.0 else None,
    )


def _sums(values: DoubleArray, n: int) -> DoubleArray:
    """The sums of each ``n`` successive values."""
    return np.convolve(values, np.ones(n), "valid")


def _deviation(values: DoubleArray, lag: int) -> float:
    """The standard deviation between values that are ``lag`` apart.

    Times of rest are left out: they would hide how much the busy times vary.
    """
    one, other = values[:-lag], values[lag:]
    are_busy = np.minimum(one, other) >= _BUSY * values.max()
    return float(np.sqrt(np.square(other - one)[are_busy].mean() / 2.0)) if are_busy.any() else 0.0
