"""What a calibration found: the part of a bundle that makes a score a decision."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

MOST_SCORES = 256


class Calibration(BaseModel):
    """A threshold, the budget that it was set for, and the sound that supports it.

    ``threshold`` is for persistent scores, ``recording_threshold`` for the score of
    a whole recording, both for the same budget.
    ``supported_false_alarms_per_week`` is the lowest budget that counting alone
    supports; a smaller one rests on the extrapolated tail. ``score_median`` and
    ``score_deviation`` describe healthy scores, the deviation that of block
    values. ``level_low_db`` to ``level_high_db`` is the range of levels heard.
    ``recording_scores``: the scores of whole healthy recordings in rising order, at most
    ``MOST_SCORES`` that stand for all; ``stretch_scores`` those of their ten seconds each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: FiniteFloat = Field(gt=0)
    recording_threshold: FiniteFloat = Field(gt=0)
    false_alarms_per_week: FiniteFloat = Field(gt=0)
    supported_false_alarms_per_week: FiniteFloat = Field(gt=0)
    method: Literal["conformal", "generalised_pareto"]
    healthy_s: FiniteFloat = Field(gt=0)
    recordings: int = Field(ge=1)
    blocks: int = Field(ge=1)
    block_s: FiniteFloat = Field(gt=0)
    persistence_required: int = Field(ge=1)
    persistence_out_of: int = Field(ge=1)
    score_median: FiniteFloat = Field(ge=0)
    score_deviation: FiniteFloat = Field(ge=0)
    level_db: FiniteFloat
    level_low_db: FiniteFloat
    level_high_db: FiniteFloat
    recording_scores: tuple[FiniteFloat, ...] = Field(default=(), max_length=MOST_SCORES)
    stretch_scores: tuple[FiniteFloat, ...] = Field(default=(), max_length=MOST_SCORES)
    note: str = Field(max_length=2000)
