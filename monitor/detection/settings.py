"""The `[detector]` table: how scores become alerts."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from monitor.detection.persistence import Persistence


class DetectorSettings(BaseModel):
    """How long a fault must last, when an alert is cleared, and how often it is repeated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_fault_s: float = Field(
        default=3.5,
        ge=0.0,
        le=3600.0,
        description="A sound shorter than this never raises an alert, however loud it is.",
    )
    persistence_share: float = Field(
        default=0.9,
        gt=0.0,
        le=1.0,
        description="Share of the checked scores that must be above the threshold.",
    )
    hysteresis: float = Field(
        default=0.25,
        ge=0.0,
        lt=1.0,
        description="The clearing threshold, as a share of the way back to the healthy median.",
    )
    clear_after_s: float = Field(
        default=5.0,
        ge=0.0,
        le=86_400.0,
        description="Seconds over which that share of the scores must be below the clearing one.",
    )
    quiet_s: float = Field(
        default=10.0,
        ge=0.0,
        le=86_400.0,
        description="Least seconds between a cleared alert and the next one raised.",
    )
    update_interval_s: float = Field(
        default=300.0,
        ge=1.0,
        le=86_400.0,
        description="Seconds between `updated` messages while an alert is raised.",
    )

    def persistence(self, *, span_s: float, hop_s: float) -> Persistence:
        """How many of the last scores must be over the threshold.

        ``span_s``: seconds of sound in one score. ``hop_s``: seconds from score to score.
        """
        return Persistence.lasting(self.min_fault_s, self.persistence_share, span_s, hop_s)
