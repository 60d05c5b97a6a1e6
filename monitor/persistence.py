"""Persistence: a score counts only when it lasts.

A sound of ``T`` seconds is heard by every scoring span that touches it, so it
keeps ``T + span`` seconds of scores high. For a fault to have lasted ``T``
seconds, k of the last n scores must be over the threshold with n covering
``T + span``. That is the same as saying that the *persistent score*, the k-th
largest of the last n, is over the threshold; calibration therefore works on
persistent scores and the detector on counts, and both mean the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Persistence:
    """``required`` of the last ``out_of`` scores, ``1 <= required <= out_of``."""

    required: int
    out_of: int

    def __post_init__(self) -> None:
        """Refuse a rule that no scores could meet."""
        if not 1 <= self.required <= self.out_of:
            raise ValueError(f"persistence {self.required} of {self.out_of} cannot be met")

    @classmethod
    def lasting(cls, min_fault_s: float, share: float, span_s: float, hop_s: float) -> Persistence:
        """The rule for faults of at least ``min_fault_s`` seconds, scored every ``hop_s``."""
        if min_fault_s <= 0:
            return cls(1, 1)
        out_of = max(1, math.ceil((min_fault_s + span_s) / hop_s))
        return cls(max(1, math.ceil(share * out_of)), out_of)


def persistent_scores(
    scores: npt.NDArray[np.float64], rule: Persistence
) -> npt.NDArray[np.float64]:
    """The k-th largest of every n successive scores.

    Shape: ``(n_scores,)`` to ``(n_scores - out_of + 1,)``. A recording with fewer
    than ``out_of`` scores gives a single one, by the same share of what it has:
    at least as large as the whole rule would have given.
    """
    if len(scores) == 0:
        return np.empty(0)
    out_of = min(rule.out_of, len(scores))
    required = max(1, math.floor(rule.required * out_of / rule.out_of))
    views = np.lib.stride_tricks.sliding_window_view(scores, out_of)
    return np.partition(views, out_of - required, axis=1)[:, out_of - required]
