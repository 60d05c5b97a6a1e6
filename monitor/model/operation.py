"""The operating states of the machine in a bundle: the sound of running and of off."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat


class OperatingState(BaseModel):
    """One state of the machine in the training sound.

    ``share``: of the training sound. ``level_db``: the mean of ``low_level_db``, the low level
    (``monitor.features.low_level``) of each scored band. ``example``: the recording and the
    position at which two seconds sound most like this state.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=32)
    is_off: bool
    share: FiniteFloat = Field(ge=0, le=1)
    level_db: FiniteFloat
    low_level_db: tuple[FiniteFloat, ...] = Field(min_length=1, max_length=1024)
    example: str = Field(default="", max_length=4096)


class HealthyDuty(BaseModel):
    """How often the healthy machine starts, and for which share of the time it runs.

    None: not limited.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    most_starts_per_h: FiniteFloat | None = Field(default=None, gt=0)
    least_running_share: FiniteFloat | None = Field(default=None, ge=0, le=1)
    most_running_share: FiniteFloat | None = Field(default=None, ge=0, le=1)


class Operation(BaseModel):
    """The states of the machine, and the lowest levels at which it runs.

    ``quiet_db``: for each scored band, the fifth percentile of the low level while the machine
    runs. ``states``: at least one in which the machine runs. ``duty``: limits of starts and
    running time, optional.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    quiet_db: tuple[FiniteFloat, ...] = Field(min_length=1, max_length=1024)
    states: tuple[OperatingState, ...] = Field(min_length=1, max_length=16)
    duty: HealthyDuty | None = None

    def problem(self, n_mels: int) -> str:
        """What does not fit features of ``n_mels`` bands; empty if everything fits."""
        n_bands = len(self.quiet_db)
        if n_bands > n_mels:
            return f"quiet_db: {n_bands} values for {n_mels} bands"
        for state in self.states:
            if len(state.low_level_db) != n_bands:
                return f"{state.name}: {len(state.low_level_db)} levels, quiet_db has {n_bands}"
        if all(state.is_off for state in self.states):
            return "the machine is off in all states"
        return ""
