"""The learning rate as a function of the step, so that it needs no state in checkpoints."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["one_cycle", "cosine", "constant"]

_START_FRACTION = 0.04
_END_FRACTION = 1e-3


def learning_rate_at(
    step: int,
    *,
    total_steps: int,
    peak: float,
    schedule: Schedule = "one_cycle",
    warmup_fraction: float = 0.25,
) -> float:
    """Return the learning rate of optimiser step ``step`` (0-based) out of ``total_steps``.

    ``one_cycle`` rises along a half cosine for ``warmup_fraction`` of the steps and falls along
    another nearly to zero (Smith & Topin 2018). ``cosine`` only falls. ``constant`` is ``peak``.
    """
    if schedule == "constant":
        return peak
    warmup_steps = warmup_fraction * total_steps if schedule == "one_cycle" else 0.0
    if step < warmup_steps:
        return _half_cosine(_START_FRACTION * peak, peak, step / warmup_steps)
    return _half_cosine(
        peak, _END_FRACTION * peak, (step - warmup_steps) / max(total_steps - warmup_steps, 1.0)
    )


def _half_cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * min(fraction, 1.0)))
