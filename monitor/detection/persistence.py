"""Persistence: only scores that stay over the threshold raise an alert.

A sound of ``T`` seconds is part of every scoring span that overlaps it, so it raises the scores
of ``T + span`` seconds. A fault must last longer: k of the last n scores must be over the
threshold, where k is more than the number of scores in ``T + span``. This is the same as the
*persistent score*, the k-th largest of the last n, being over the threshold. Calibration uses
persistent scores and the detector counts, with the same result. Hysteresis, the lower threshold
that clears an alert, is in ``detector.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Persistence:
    """``required`` of the last ``out_of`` scores, ``1 <= required <= out_of``."""

    required: int
    out_of: int

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for a rule that no scores can meet."""
        if not 1 <= self.required <= self.out_of:
            raise ValueError(f"persistence {self.required} of {self.out_of} cannot be met")

    @classmethod
    def lasting(cls, min_fault_s: float, share: float, span_s: float, hop_s: float) -> Persistence:
        """The rule that no sound shorter than ``min_fault_s`` can meet, at any level.

        With a score every ``hop_s``, a sound of ``T`` seconds is part of at most
        ``ceil((T + span_s) / hop_s)`` scores. One more than that must be over the threshold. This
        number is the ``share`` of the scores that are checked.
        """
        if min_fault_s <= 0:
            return cls(1, 1)
        required = math.ceil((min_fault_s + span_s) / hop_s - _ROUNDING) + 1
        return cls(required, math.ceil(required / share - _ROUNDING))

    def needs_s(self, span_s: float, hop_s: float) -> float:
        """Seconds of unbroken sound that the required scores need."""
        return span_s + (self.required - 1) * hop_s

    @classmethod
    def share_of(cls, seconds: float, share: float, hop_s: float) -> Persistence:
        """The rule for a share of the scores of ``seconds``, at least one score."""
        out_of = max(1, round(seconds / hop_s))
        return cls(max(1, math.ceil(share * out_of - _ROUNDING)), out_of)
