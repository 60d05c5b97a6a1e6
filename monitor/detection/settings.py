"""The tables `[detector]` and `[machine.operation]`: what becomes an alert, and when."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

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
        description="A sound shorter than this never raises an alert, however loud it is, unless "
        "such sounds come again and again for 15 minutes.",
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
        description="The position of the clearing threshold: 0 is the threshold, 1 is the healthy "
        "median.",
    )
    clear_after_s: float = Field(
        default=5.0,
        ge=0.0,
        le=86_400.0,
        description="An alert is cleared when, over these seconds, the share persistence_share of "
        "the scores is below the clearing threshold.",
    )
    quiet_s: float = Field(
        default=10.0,
        ge=0.0,
        le=86_400.0,
        description="The shortest time in seconds between a cleared alert and the next raised one.",
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


def _check_topic(value: str) -> str:
    """The topic itself. Raises ``ValueError`` if it has wildcards."""
    if any(character in value for character in "#+\0"):
        raise ValueError("must be one topic, without the wildcards # and +")
    return value


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
        description="Seconds of running that are not scored after a start.",
    )
    start_fault_s: float = Field(
        default=120.0,
        ge=0.0,
        le=86_400.0,
        description="A fault that is present at a start raises an alert after this time of "
        "running. Short runs count together.",
    )
    same_fault_s: float = Field(
        default=600.0,
        ge=0.0,
        le=604_800.0,
        description="A fault that is back within this time of running after a stop continues its "
        "alert.",
    )
    topic: Annotated[str, AfterValidator(_check_topic)] = Field(
        default="",
        max_length=1024,
        description="An MQTT topic that shows whether the machine runs, instead of its sound.",
    )
    field: str = Field(
        default="",
        max_length=256,
        description="The field of the JSON payload; a.b is b in a. Unset: the payload itself.",
    )
    running_above: float = Field(
        default=0.0,
        allow_inf_nan=False,
        description="The machine runs while the number is above this, for example in watts.",
    )
    stale_s: float = Field(
        default=600.0,
        ge=1.0,
        le=604_800.0,
        description="Without a message for this time, the sound decides.",
    )

    alert_when_off_s: float | None = Field(
        default=None,
        gt=0.0,
        le=31_536_000.0,
        description="Raise an alert when the machine is off for this time. Unset: no alert.",
    )
    most_starts_per_h: float | None = Field(
        default=None,
        gt=0.0,
        le=3600.0,
        description="More starts per hour are the warning duty_cycle. Unset: as in the bundle.",
    )
    least_running_share: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="A smaller share of running time is the warning duty_cycle. Unset: as above.",
    )
    most_running_share: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="A larger share of running time is the warning duty_cycle. Unset: as above.",
    )
    duty_cycle_s: float = Field(
        default=14_400.0,
        ge=60.0,
        le=2_592_000.0,
        description="The time over which starts and running time are counted for duty_cycle.",
    )

    @model_validator(mode="after")
    def _refuse_what_does_not_fit_together(self) -> Self:
        if self.field and not self.topic:
            raise ValueError("field needs topic: the MQTT topic whose payload has this field")
        least, most = self.least_running_share, self.most_running_share
        if least is not None and most is not None and least > most:
            raise ValueError(
                "least_running_share must not be above most_running_share: exchange the values"
            )
        return self
