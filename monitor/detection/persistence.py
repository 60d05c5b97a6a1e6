"""Persistence: a score counts only when it lasts.

A sound of ``T`` seconds is heard by every scoring span that touches it, so it
keeps ``T + span`` seconds of scores high. A fault must last longer than that: k of
the last n scores must be over the threshold, with k more than fit into
``T + span``. That is the same as saying that the *persistent score*, the k-th
largest of the last n, is over the threshold; calibration therefore works on
persistent scores and the detector on counts, and both mean the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from monitor.domain import DoubleArray

_ROUNDING = 1e-9


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
        """The rule that no sound shorter than ``min_fault_s`` can meet, however loud it is.

        A sound of ``T`` seconds is in ``ceil((T + span_s) / hop_s)`` scores at the most, one
        coming every ``hop_s``; one more than that must be over the threshold, and are to be
        ``share`` of those that are looked at.
        """
        if min_fault_s <= 0:
            return cls(1, 1)
        required = math.ceil((min_fault_s + span_s) / hop_s - _ROUNDING) + 1
        return cls(required, math.ceil(required / share - _ROUNDING))

    def needs_s(self, span_s: float, hop_s: float) -> float:
        """Seconds of unbroken sound from which so many scores can come."""
        return span_s + (self.required - 1) * hop_s

    @classmethod
    def share_of(cls, seconds: float, share: float, hop_s: float) -> Persistence:
        """The rule for a share of the scores over so many seconds, of one score at least."""
        out_of = max(1, round(seconds / hop_s))
        return cls(max(1, math.ceil(share * out_of - _ROUNDING)), out_of)


def persistent_scores(scores: DoubleArray, rule: Persistence) -> DoubleArray:
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
