"""``[history]``: what the daemon keeps about the past."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class HistorySettings(BaseModel):
    """``[history]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    max_mb: float = Field(default=500.0, ge=10.0, le=1_000_000.0)
    """The most megabytes for the file. The oldest values of minutes are deleted first."""
    max_age_days: float = Field(default=400.0, ge=1.0, le=36_500.0)
    """Values and events that are older are deleted."""
