"""Shaft position and load of a simulated machine: smooth functions of time."""

from __future__ import annotations

import numpy as np

from monitor.sources.settings import SimulatedSettings
from monitor.sources.simulated.duty import Duty, Times

_LOAD_PERIODS_S = np.array([7.0, 17.0, 41.0])
_LOAD_WEIGHTS = np.array([0.4, 0.35, 0.25])
_SLIP = 0.02
_SPEED_CHANGE_S = 1.0


class Motion:
    """Load and shaft position in closed form, so that they can be computed for any time.

    The load varies slowly around 1 by at most ``load_variation``. An induction motor
    slips: 10 % more load is 0.2 % less speed. With several speeds the machine runs at
    each for ``regime_s`` and needs a second to change. While the machine stands still, load and
    regime do not change either.
    """

    def __init__(self, settings: SimulatedSettings, random: np.random.Generator) -> None:
        self._duty = Duty(settings)
        self._depth = settings.load_variation
        self._rates = 2.0 * np.pi / (_LOAD_PERIODS_S * random.uniform(0.9, 1.1, 3))
        self._phases = random.uniform(0.0, 2.0 * np.pi, 3)
        speeds = np.array(settings.speeds_hz or (settings.speed_hz,), dtype=np.float64)
        starts = np.arange(len(speeds)) * settings.regime_s
        # A change of speed ends _SPEED_CHANGE_S after its regime's beginning.
        self._cycle_s = len(speeds) * settings.regime_s
        self._knots_s = np.stack([starts, starts + _SPEED_CHANGE_S], axis=1).ravel()
        self._speeds_hz = np.stack([np.roll(speeds, 1), speeds], axis=1).ravel()
        ends_s = np.append(self._knots_s[1:], self._cycle_s)
        end_speeds_hz = np.append(self._speeds_hz[1:], speeds[-1])
        self._slopes = (end_speeds_hz - self._speeds_hz) / (ends_s - self._knots_s)
        revolutions = 0.5 * (end_speeds_hz + self._speeds_hz) * (ends_s - self._knots_s)
        self._revolutions_before = np.concatenate([[0.0], np.cumsum(revolutions)[:-1]])
        self._revolutions_a_cycle = float(revolutions.sum())
        self.mean_speed_hz = self._revolutions_a_cycle / self._cycle_s
        self.highest_speed_hz = float(speeds.max()) * (1.0 + _SLIP * self._depth)

    def drive(self, t_s: Times) -> Times:
        """The speed divided by the planned speed: 0 while the machine is off. Shape: as ``t_s``."""
        return self._duty.drive(t_s)

    def load(self, t_s: Times) -> Times:
        """Relative load, at most ``load_variation`` from 1. Shape: as ``t_s``."""
        running_s = self._duty.running_s(t_s)
        waves = np.sin(running_s[..., np.newaxis] * self._rates + self._phases)
        load: Times = 1.0 + self._depth * (waves @ _LOAD_WEIGHTS)
        return load

    def revolutions(self, t_s: Times) -> Times:
        """Revolutions since the stream began, never falling. Shape: as ``t_s``."""
        running_s = self._duty.running_s(t_s)
        cycles, within_s = np.divmod(running_s, self._cycle_s)
        knot = np.searchsorted(self._knots_s, within_s, side="right") - 1
        since_s = within_s - self._knots_s[knot]
        revolutions = cycles * self._revolutions_a_cycle + self._revolutions_before[knot]
        revolutions += since_s * (self._speeds_hz[knot] + 0.5 * self._slopes[knot] * since_s)
        excess = -np.cos(running_s[..., np.newaxis] * self._rates + self._phases) / self._rates
        slip_hz = _SLIP * self.mean_speed_hz * self._depth
        slipped: Times = revolutions - slip_hz * (excess @ _LOAD_WEIGHTS)
        return slipped

    def relative_speed(self, t_s: Times) -> Times:
        """Planned speed divided by the mean planned speed. Shape: as ``t_s``."""
        within_s = np.mod(self._duty.running_s(t_s), self._cycle_s)
        knot = np.searchsorted(self._knots_s, within_s, side="right") - 1
        planned_hz = self._speeds_hz[knot] + self._slopes[knot] * (within_s - self._knots_s[knot])
        relative: Times = planned_hz / self.mean_speed_hz
        return relative
