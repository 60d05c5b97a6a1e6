"""The table ``[evidence]``: what is kept of alerts, for how long, and in how much space."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EvidenceSettings(BaseModel):
    """What is kept around an alert, and the limits of all that is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep: Literal["on_alert", "off"] = Field(
        default="on_alert",
        description='"on_alert": the sound and the pictures of alerts. "off": nothing.',
    )
    before_s: float = Field(
        default=15.0,
        ge=1.0,
        le=60.0,
        description="Seconds of sound before the decision. They are held in memory all the time.",
    )
    after_s: float = Field(
        default=15.0, ge=0.0, le=60.0, description="Seconds of sound after the decision."
    )
    max_mb: float = Field(
        default=500.0,
        ge=10.0,
        le=1_000_000.0,
        description="The most space in megabytes for the evidence of all machines.",
    )
    max_age_days: float = Field(
        default=90.0,
        gt=0.0,
        le=36_500.0,
        allow_inf_nan=False,
        description="Evidence is deleted after so many days.",
    )
    max_per_day: int = Field(
        default=50, ge=1, le=100_000, description="The most pieces of one machine in 24 hours."
    )
    max_per_alert: int = Field(
        default=3, ge=1, le=1_000, description="The most pieces of one alert."
    )

    diagnose: bool = Field(
        default=True,
        description="Whether the sound of an alert is compared with healthy sound, for its cause.",
    )

    @property
    def is_on(self) -> bool:
        """Whether anything is kept."""
        return self.keep == "on_alert"

    @property
    def max_bytes(self) -> int:
        """``max_mb`` in bytes."""
        return int(self.max_mb * 1_000_000)
