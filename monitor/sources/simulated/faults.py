"""The sound of faults of a rotating machine.

After Randall, *Vibration-based Condition Monitoring* (2011): a damaged bearing
excites a resonance at the ball-pass frequency, imbalance adds a tone at the shaft
frequency, looseness adds half-orders, a rub makes noise during a part of every
revolution, and cavitation makes noise at high frequencies, modulated by the vanes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from monitor.domain import FloatArray
from monitor.sources.settings import SimulatedFault, SimulatedSettings
from monitor.sources.simulated.motion import Motion
from monitor.sources.simulated.noise import NoiseStream

_TABLE_POINTS = 1 << 13
_BALL_PASSES_A_REVOLUTION = 3.585
"""Outer race of a deep-groove bearing of 9 balls: n/2 (1 - d/D)."""
_RING_S = 0.010
_DAMPING = 0.04
_SLIP = 0.015
_VANES = 7
_ANGLE = 2.0 * np.pi * np.arange(_TABLE_POINTS) / _TABLE_POINTS
# Amplitudes relative to the RMS of the healthy machine.
_IMBALANCE = {1: 3.0, 2: 0.6, 3: 0.3}
_LOOSENESS = {half_order: 1.2 / half_order**0.5 for half_order in range(1, 25)}
_RUB_GATE = (2.5 * np.clip(np.cos(_ANGLE) - 0.6, 0.0, None) / 0.4).astype(np.float32)
_CAVITATION_GATE = (0.6 * (1.0 + 0.6 * np.cos(_VANES * _ANGLE))).astype(np.float32)


@dataclass(frozen=True, slots=True)
class CellTime:
    """The cell that is being made.

    ``revolutions`` of the shaft: float64 ``(cell_samples,)``. ``force``: of an imbalance, relative
    to that at the planned speed, float32 ``(cell_samples,)``. All faults grow with it.
    """

    index: int
    start_s: float
    rate_hz: int
    revolutions: npt.NDArray[np.float64]
    force: FloatArray


class Fault(Protocol):
    """Adds its sound to a cell in place; ``level`` is the RMS of the healthy machine."""

    def add_to(self, sound: FloatArray, cell: CellTime, level: float) -> None:
        """Shape: ``sound`` is ``(cell_samples,)``."""


class _Course:
    """The severity of a fault over time: it grows after the onset and falls before the end."""

    def __init__(self, fault: SimulatedFault) -> None:
        end_s = float("inf") if fault.end_s is None else fault.end_s
        ramp_s = max(1e-3, min(fault.ramp_s, (end_s - fault.onset_s) / 2.0))
        self._onset_s, self._end_s, self._ramp_s = fault.onset_s, end_s, ramp_s
        self._severity = fault.severity
        self._every_s = fault.every_s

    def severity(self, cell: CellTime, n_samples: int) -> FloatArray | None:
        """Shape: ``(n_samples,)``, ``None`` where the fault is not present or nothing moves."""
        start_s = cell.start_s - self._before_s(cell.start_s + n_samples / cell.rate_hz)
        end_s = start_s + n_samples / cell.rate_hz
        if end_s <= self._onset_s or start_s >= self._end_s or not cell.force.any():
            return None
        t_s = start_s + np.arange(n_samples) / cell.rate_hz
        grown = np.minimum(t_s - self._onset_s, self._end_s - t_s) / self._ramp_s
        grown = np.clip(grown, 0.0, 1.0) * cell.force
        return (self._severity * grown).astype(np.float32)

    def _before_s(self, end_s: float) -> float:
        """From the first onset to the last one before ``end_s``."""
        if self._every_s is None:
            return 0.0
        return max(0.0, math.floor((end_s - self._onset_s) / self._every_s) * self._every_s)


class _Orders:
    """Harmonics of a fraction of the shaft frequency: imbalance and looseness."""

    def __init__(
        self,
        fault: SimulatedFault,
        amplitudes: dict[int, float],
        revolutions_a_period: int,
        individual: np.random.Generator,
    ) -> None:
        self._course = _Course(fault)
        self._revolutions_a_period = revolutions_a_period
        period = np.zeros(_TABLE_POINTS)
        for order, amplitude in amplitudes.items():
            period += amplitude * np.sin(order * _ANGLE + individual.uniform(0.0, 2.0 * np.pi))
        self._period = period.astype(np.float32)

    def add_to(self, sound: FloatArray, cell: CellTime, level: float) -> None:
        """See ``Fault``."""
        severity = self._course.severity(cell, len(sound))
        if severity is None:
            return
        phase = (cell.revolutions / self._revolutions_a_period) % 1.0
        severity *= self._period.take((phase * _TABLE_POINTS).astype(np.int32))
        severity *= np.float32(level)
        sound += severity


class _GatedNoise:
    """Noise that the shaft modulates: rubs and cavitation."""

    def __init__(self, fault: SimulatedFault, noise: NoiseStream, gate: FloatArray) -> None:
        self._course = _Course(fault)
        self._noise, self._gate = noise, gate

    def add_to(self, sound: FloatArray, cell: CellTime, level: float) -> None:
        """See ``Fault``."""
        severity = self._course.severity(cell, len(sound))
        if severity is None:
            return
        severity *= self._gate.take(((cell.revolutions % 1.0) * len(self._gate)).astype(np.int32))
        severity *= self._noise.cell(cell.index)
        severity *= np.float32(level)
        sound += severity


class _Bearing:
    """Impacts at the ball-pass frequency, each of which excites a decaying resonance.

    Balls slip, so that impacts are up to ``_SLIP`` of their distance early or late,
    and they differ in strength.
    """

    _AMPLITUDE = 3.5
    _TABLE = 4096

    def __init__(
        self,
        fault: SimulatedFault,
        motion: Motion,
        rate_hz: int,
        individual: np.random.Generator,
    ) -> None:
        self._course = _Course(fault)
        self._motion = motion
        self._passes_a_revolution = _BALL_PASSES_A_REVOLUTION * individual.uniform(0.98, 1.02)
        self._resonance_hz = min(3_400.0 * individual.uniform(0.95, 1.05), 0.4 * rate_hz)
        self._decay_s = 1.0 / (2.0 * np.pi * self._resonance_hz * _DAMPING)
        self._early = individual.uniform(-_SLIP, _SLIP, self._TABLE)
        self._strength = individual.uniform(0.6, 1.4, self._TABLE)
        self._ring = np.arange(max(1, round(_RING_S * rate_hz)))

    def add_to(self, sound: FloatArray, cell: CellTime, level: float) -> None:
        """See ``Fault``."""
        severity = self._course.severity(cell, len(sound))
        if severity is None:
            return
        end_s = cell.start_s + len(sound) / cell.rate_hz
        grid_s = np.linspace(cell.start_s - 2 * _RING_S, end_s + _RING_S, 24)
        passes = self._passes_a_revolution * self._motion.revolutions(grid_s)
        number = np.arange(np.ceil(passes[0]), np.floor(passes[-1]) + 1, dtype=np.int64)
        at = number % self._TABLE
        hit_s = np.interp(number + self._early[at], passes, grid_s)
        first = np.ceil((hit_s - cell.start_s) * cell.rate_hz).astype(np.int64)
        index = first[:, np.newaxis] + self._ring
        since_s = index / cell.rate_hz - (hit_s - cell.start_s)[:, np.newaxis]
        ringing = np.exp(-since_s / self._decay_s)
        ringing *= np.sin(2.0 * np.pi * self._resonance_hz * since_s)
        ringing *= (level * self._AMPLITUDE * self._strength[at])[:, np.newaxis]
        inside = (index >= 0) & (index < len(sound))
        total = np.bincount(index[inside], ringing[inside], minlength=len(sound))
        severity *= total.astype(np.float32)
        sound += severity


def faults_of(settings: SimulatedSettings, motion: Motion, cell_samples: int) -> list[Fault]:
    """The faults of a machine, in the order of its settings."""
    rate_hz = settings.sample_rate_hz
    faults: list[Fault] = []
    for number, fault in enumerate(settings.faults, 1):
        key = (settings.seed, number)
        individual = np.random.default_rng([3, settings.unit, number])
        match fault.kind:
            case "bearing":
                faults.append(_Bearing(fault, motion, rate_hz, individual))
            case "imbalance":
                faults.append(_Orders(fault, _IMBALANCE, 1, individual))
            case "looseness":
                faults.append(_Orders(fault, _LOOSENESS, 2, individual))
            case "rub":
                noise = NoiseStream(key, _band(rate_hz, 1_200.0, 5_000.0), cell_samples)
                faults.append(_GatedNoise(fault, noise, _RUB_GATE))
            case "cavitation":
                noise = NoiseStream(key, _band(rate_hz, 3_000.0, 20_000.0), cell_samples)
                faults.append(_GatedNoise(fault, noise, _CAVITATION_GATE))
    return faults


def _band(rate_hz: int, low_hz: float, high_hz: float) -> npt.NDArray[np.float64]:
    """A spectrum with slopes of 12 dB per octave outside a band. Shape: ``(257,)``."""
    low_hz = min(low_hz, 0.25 * rate_hz)
    hz = np.maximum(np.linspace(0.0, rate_hz / 2.0, 257), 1.0)
    magnitude: npt.NDArray[np.float64] = np.minimum(1.0, np.minimum(hz / low_hz, high_hz / hz) ** 2)
    return magnitude
