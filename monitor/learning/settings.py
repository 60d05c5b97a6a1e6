"""The tables ``[learning]`` and ``[machine.learning]``: how a machine is commissioned."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LearningSettings(BaseModel):
    """What is collected, when a bundle is trained, and when the machine is armed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: float = Field(
        default=7.0,
        gt=0.0,
        le=365.0,
        description="Days of sound until the machine is armed.",
    )
    first_after_min: float = Field(
        default=30.0,
        gt=0.0,
        le=10_000.0,
        description="Minutes of running after which the first bundle is trained.",
    )
    piece_s: float = Field(
        default=10.0,
        ge=3.0,
        le=60.0,
        description="Seconds of sound in one piece. A shorter one does not show operating states.",
    )
    every_s: float = Field(
        default=300.0,
        ge=2.0,
        le=86_400.0,
        description="Seconds of running from piece to piece. Until the first bundle, pieces are "
        "taken more often, at least 24 in first_after_min.",
    )
    max_mb: float = Field(
        default=500.0,
        ge=1.0,
        le=1_000_000.0,
        description="The most space in megabytes for the pieces of a machine. Above it, pieces "
        "are removed where there are the most of the same level, hour and day.",
    )
    alarm_while_provisional: bool = Field(
        default=False,
        description="Raise alerts before the machine is armed. Otherwise there are only warnings.",
    )
    keep: bool = Field(
        default=False,
        description="Keep the pieces when the machine is armed.",
    )
    relearn_max_mb: float = Field(
        default=100.0,
        ge=1.0,
        le=1_000_000.0,
        description="The most space in megabytes for the sound of alerts that were labelled as "
        "false alarms. Above it, the oldest sound is left out.",
    )
    keep_outliers: bool = Field(
        default=False,
        description="Also learn pieces that do not fit the others.",
    )
    trainer: Literal["auto", "child", "request", "elsewhere"] = Field(
        default="auto",
        description='Where bundles are trained: "child" is a process of the daemon, "request" '
        'another unit of systemd, "elsewhere" by hand on another computer. "auto": child where '
        "the extra `train` is installed, elsewhere otherwise.",
    )
    memory_mb: float = Field(
        default=2_000.0,
        ge=1_000.0,
        le=1_000_000.0,
        description="The most memory in megabytes that a training in a child process may use.",
    )
