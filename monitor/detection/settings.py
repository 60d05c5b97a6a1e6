"""The tables `[detector]` and `[machine.operation]`: what becomes an alert, and when."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from monitor.detection.persistence import Persistence


class DetectorSettings(BaseModel):
    """How long a fault must last, when an alert is cleared, and how often it is repeated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alarm_per_week: float | None = Field(
        default=None,
        gt=0.0,
        le=10_000.0,
        description="False alarms a week that you accept. Unset: as the bundle was calibrated.",
    )
    warning_per_week: float = Field(
        default=7.0,
        gt=0.0,
        le=10_000.0,
        description="False warnings a week that you accept. A warning is a state, not an alert.",
    )
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
        description="Share of the scores looked at that must be above the threshold.",
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


class OperationSettings(BaseModel):
    """``[machine.operation]``: when the machine is off, and how long a change takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    off_states: tuple[str, ...] | None = Field(
        default=None,
        description="The states of the bundle in which the machine is off. Unset: as in training.",
    )
    off_below_db: float | None = Field(
        default=None,
        ge=-200.0,
        le=100.0,
        description="The machine is off while its level (see auscult inspect) is below this.",
    )
    change_s: float = Field(
        default=3.0,
        ge=0.5,
        le=3600.0,
        description="A change of the level that ends within this time is not a start or stop.",
    )
    settle_s: float = Field(
        default=3.0,
        ge=0.0,
        le=3600.0,
        description="After a start, seconds of running that are not scored.",
    )
    start_fault_s: float = Field(
        default=30.0,
        ge=0.0,
        le=86_400.0,
        description="A fault that is there from the start of the machine must last this long.",
    )
    same_fault_s: float = Field(
        default=600.0,
        ge=0.0,
        le=604_800.0,
        description="A fault that is back within this time of running continues its alert.",
    )
