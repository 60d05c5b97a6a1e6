"""The part of ``bundle.json`` that describes channels: what raises an alert beside the scores."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

EvidenceKind = Literal[
    "distance",
    "envelope",
    "lines",
    "recurring_distance",
    "recurring_envelope",
    "recurring_lines",
]
RECURRING: Mapping[EvidenceKind, EvidenceKind] = {
    "recurring_distance": "distance",
    "recurring_envelope": "envelope",
    "recurring_lines": "lines",
}
"""By what the sounds are measured that come again and again (:mod:`monitor.model.recurrence`)."""


class ChannelBudget(BaseModel):
    """The threshold of a channel for another budget."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    false_alarms_per_week: FiniteFloat = Field(gt=0)
    threshold: FiniteFloat = Field(gt=0)


MOST_PARTS = 64
"""Of a span that is longer than that of the bundle."""


class ChannelCalibration(BaseModel):
    """A channel: scores of one kind of evidence over one span, with thresholds of their own.

    An alert is raised by any channel. All thresholds for a budget together give so many false
    alarms. ``evidence``: ``distance`` is the score of the bundle, ``envelope`` and ``lines`` the
    peaks of two spectra (:mod:`monitor.model.peaks`), and ``RECURRING`` are the others.
    ``span_s``: seconds of sound in one score,
    and ``step_s`` from score to score. ``budgets``: in rising order of the budget, for
    ``BUDGETS`` of :mod:`monitor.calibration.threshold` and the bundle's own budget.
    ``score_median``: of healthy scores.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    evidence: EvidenceKind
    span_s: FiniteFloat = Field(gt=0, le=3600)
    step_s: FiniteFloat = Field(gt=0, le=3600)
    score_median: FiniteFloat = Field(ge=0)
    budgets: tuple[ChannelBudget, ...] = Field(min_length=1, max_length=64)

    @property
    def single_evidence(self) -> EvidenceKind:
        """By what each sound is measured: ``distance``, ``envelope`` or ``lines``."""
        return RECURRING.get(self.evidence, self.evidence)

    @property
    def is_recurring(self) -> bool:
        """Whether it is about sounds that come again and again."""
        return self.evidence in RECURRING

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if any(
            a.false_alarms_per_week >= b.false_alarms_per_week for a, b in pairwise(self.budgets)
        ):
            raise ValueError("the budgets must be in rising order of false_alarms_per_week")
        if self.step_s > self.span_s:
            raise ValueError("step_s must not be greater than span_s: sound would not be scored")
        return self

    def threshold_for(self, false_alarms_per_week: float) -> float | None:
        """The threshold for a budget; None where the bundle does not contain it."""
        pairs = [(one.false_alarms_per_week, one.threshold) for one in self.budgets]
        return interpolated(pairs, false_alarms_per_week)


def interpolated(pairs: Sequence[tuple[float, float]], per_week: float) -> float | None:
    """The threshold for a budget, from pairs of budget and threshold in rising order of budget.

    Squares of thresholds are nearly linear in the logarithm of the budget: see the tail. None
    outside of the budgets.
    """
    budgets = [budget for budget, _ in pairs]
    if not budgets or not budgets[0] <= per_week <= budgets[-1]:
        return None
    index = bisect_left(budgets, per_week)
    if budgets[index] == per_week:
        return pairs[index][1]
    (low_budget, low), (high_budget, high) = pairs[index - 1], pairs[index]
    share = math.log(per_week / low_budget) / math.log(high_budget / low_budget)
    return math.sqrt((1.0 - share) * low**2 + share * high**2)
