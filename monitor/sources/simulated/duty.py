"""Starts and stops of a simulated machine, in closed form."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from monitor.sources.settings import SimulatedSettings

Times = npt.NDArray[np.float64]

_SHORTEST_S = 1e-9
"""Of a ramp, so that an abrupt start divides by no zero."""


class Duty:
    """When the machine runs, and how fast relative to its planned speed.

    It runs at full speed when the stream begins, stops after ``runs_s`` and starts again
    ``rests_s`` later. The speed rises and falls linearly. All times are whole samples.
    """

    def __init__(self, settings: SimulatedSettings) -> None:
        rate_hz = settings.sample_rate_hz

        def whole(seconds: float) -> float:
            return round(seconds * rate_hz) / rate_hz

        self._always = settings.runs_s is None
        self._runs_s = whole(settings.runs_s or 0.0)
        self._run_up_s = whole(settings.run_up_s)
        self._coast_down_s = whole(settings.coast_down_s)
        self._cycle_s = self._runs_s + whole(settings.rests_s)
        self._turning_s = self._runs_s + 0.5 * (self._coast_down_s - self._run_up_s)

    def drive(self, t_s: Times) -> Times:
        """The speed divided by the planned speed, 0 to 1. Shape: as ``t_s``."""
        if self._always:
            return np.ones_like(t_s)
        within_s = np.mod(t_s, self._cycle_s)
        risen = np.where(t_s < self._run_up_s, 1.0, _ramp(within_s, self._run_up_s))
        drive: Times = np.minimum(risen, 1.0 - _ramp(within_s - self._runs_s, self._coast_down_s))
        return drive

    def running_s(self, t_s: Times) -> Times:
        """The integral of ``drive`` since the stream began, in seconds. Shape: as ``t_s``."""
        if self._always:
            return t_s
        cycles, within_s = np.divmod(t_s, self._cycle_s)
        up_s = np.minimum(within_s, self._run_up_s)
        down_s = np.clip(within_s - self._runs_s, 0.0, self._coast_down_s)
        running_s: Times = cycles * self._turning_s + np.minimum(within_s, self._runs_s) + down_s
        running_s += _lost_s(self._run_up_s - up_s, self._run_up_s)
        running_s -= _lost_s(down_s, self._coast_down_s)
        return np.where(t_s < self._run_up_s, t_s, running_s)


def _ramp(since_s: Times, length_s: float) -> Times:
    """0 before 0, 1 after ``length_s``, linear between."""
    ramp: Times = np.clip(since_s / max(length_s, _SHORTEST_S), 0.0, 1.0)
    return ramp


def _lost_s(since_s: Times, length_s: float) -> Times:
    """The integral of a ramp of ``length_s``."""
    lost: Times = 0.5 * since_s**2 / max(length_s, _SHORTEST_S)
    return lost
