"""The table `[machine.shaft]`: what turns, how fast, and on which bearings."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from monitor.diagnosis.bearings import Bearing, known_bearing

_SPEED_RANGE = 0.03
"""A speed without a range is the nominal one. Induction motors slip by up to 3 % under load."""
_LOWEST_HZ, _HIGHEST_HZ = 0.1, 2_000.0


class BearingSettings(BaseModel):
    """A bearing that is not in the table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="the bearing", min_length=1, max_length=64)
    balls: int
    ball_mm: float = Field(allow_inf_nan=False)
    pitch_mm: float = Field(allow_inf_nan=False)
    angle_deg: float = Field(default=0.0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        self.bearing()
        return self

    def bearing(self) -> Bearing:
        """As a ``Bearing``. Raises ``ValueError`` as that does."""
        return Bearing(self.name, self.balls, self.ball_mm, self.pitch_mm, self.angle_deg)


def _bearing_of(value: Any) -> Any:
    """A name as the geometry of the table; anything else as it is."""
    if not isinstance(value, str):
        return value
    one = known_bearing(value)
    return {
        "name": one.name,
        "balls": one.balls,
        "ball_mm": one.ball_mm,
        "pitch_mm": one.pitch_mm,
        "angle_deg": one.angle_deg,
    }


def _range_of(value: Any) -> Any:
    """One number as a range that begins and ends with it."""
    return (value, value) if isinstance(value, int | float) else value


_Range = Annotated[tuple[float, float], BeforeValidator(_range_of)]


class ShaftSettings(BaseModel):
    """``[machine.shaft]``: what a diagnosis compares rates with. Every key may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    speed_hz: _Range | None = Field(
        default=None,
        description="Revolutions per second: one number, or the lowest and the highest.",
    )
    rpm: _Range | None = Field(
        default=None, description="Revolutions per minute, instead of speed_hz."
    )
    bearings: tuple[Annotated[BearingSettings, BeforeValidator(_bearing_of)], ...] = Field(
        default=(),
        max_length=16,
        description="Names from the table, or { balls = 9, ball_mm = 7.94, pitch_mm = 39.04 }.",
    )
    blades: int | None = Field(default=None, ge=1, le=500, description="Blades or vanes.")
    teeth: int | None = Field(default=None, ge=3, le=2000, description="Teeth of the wheel.")
    belt_hz: float | None = Field(
        default=None, gt=0, le=1000, description="Turns of the belt per second."
    )
    mains_hz: float | None = Field(
        default=None, ge=10, le=1000, description="Frequency of the mains, for example 50."
    )

    @model_validator(mode="after")
    def _one_speed(self) -> Self:
        if self.speed_hz is not None and self.rpm is not None:
            raise ValueError("has speed_hz and rpm: use one of them")
        key, unit = ("rpm", 60.0) if self.rpm is not None else ("speed_hz", 1.0)
        given = self.rpm or self.speed_hz
        if given is not None:
            low, high = given
            if not _LOWEST_HZ * unit <= low <= high <= _HIGHEST_HZ * unit:
                raise ValueError(
                    f"{key} must be one number or [lowest, highest], from {_LOWEST_HZ * unit:g} to "
                    f"{_HIGHEST_HZ * unit:g}"
                )
        return self

    @property
    def speed_range_hz(self) -> tuple[float, float] | None:
        """The lowest and the highest speed in revolutions per second; None if none is given."""
        if self.rpm is not None:
            low, high = self.rpm[0] / 60.0, self.rpm[1] / 60.0
        elif self.speed_hz is not None:
            low, high = self.speed_hz
        else:
            return None
        if high == low:
            return low * (1.0 - _SPEED_RANGE), high * (1.0 + _SPEED_RANGE)
        return low, high

    def known_bearings(self) -> tuple[Bearing, ...]:
        """The bearings, in the order of the settings."""
        return tuple(one.bearing() for one in self.bearings)
