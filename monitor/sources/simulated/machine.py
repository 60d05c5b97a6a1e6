"""A physical model of a rotating machine: tones of the shaft, noise of the flow, faults.

All periodic sound of the shaft (harmonics, blade pass, gear mesh with sidebands) is one
waveform per revolution; the rest is coloured noise. The sound is made in cells of a tenth
of a second. Each cell depends on the settings and its index only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.domain import FloatArray
from monitor.sources.settings import SimulatedSettings
from monitor.sources.simulated.faults import CellTime, faults_of
from monitor.sources.simulated.motion import Motion
from monitor.sources.simulated.noise import NoiseStream

_CELL_S = 0.1
_STEP_SAMPLES = 64
_TABLE_POINTS = 1 << 14
_NYQUIST_SHARE = 0.95
_ROOM_STREAM = 2**32
"""Apart from the streams of the faults, which are numbered from 1."""
_SHAFT_LAW, _FLOW_LAW = 2.0, 2.5
"""Amplitude by speed while it rises and falls: the force of an imbalance grows with its square,
the sound power of a fan by 50 dB for ten times the speed (VDI 2081)."""


@dataclass(frozen=True, slots=True)
class _Design:
    """The proportions of a type of machine, amplitudes relative to its flow noise's RMS."""

    shaft: float
    blades: int
    blade: float
    teeth: int
    mesh: float
    noise_slope_db: float
    """Slope of the noise's spectrum above 100 Hz, in dB per octave."""
    resonances_hz: tuple[float, ...]


_DESIGNS = {
    "pump": _Design(0.5, 7, 0.45, 31, 0.25, -3.5, (640.0, 1_450.0, 2_900.0)),
    "fan": _Design(0.35, 5, 0.6, 0, 0.0, -4.5, (420.0, 1_100.0)),
    "gearbox": _Design(0.4, 0, 0.0, 43, 0.9, -3.0, (900.0, 2_200.0, 3_600.0)),
}
_SHAFT_HARMONICS = (1.0, 0.55, 0.35, 0.2, 0.12, 0.08)
_BLADE_HARMONICS = (1.0, 0.5, 0.25, 0.12)
_MESH_HARMONICS = (1.0, 0.6, 0.3)
_BLADE_SIDEBANDS = {-1: 0.12, 1: 0.12}
_MESH_SIDEBANDS = {-2: 0.1, -1: 0.3, 1: 0.3, 2: 0.1}


class SimulatedMachine:
    """Cells of sound by index. ``cell_samples`` is the length of each."""

    def __init__(self, settings: SimulatedSettings) -> None:
        rate_hz = settings.sample_rate_hz
        design = _DESIGNS[settings.machine]
        individual = np.random.default_rng([1, settings.unit])
        self._rate_hz = rate_hz
        self._motion = Motion(settings, np.random.default_rng([2, settings.seed]))
        self._steps = max(1, round(_CELL_S * rate_hz / _STEP_SAMPLES))
        self.cell_samples = self._steps * _STEP_SAMPLES
        self._ramp = np.arange(_STEP_SAMPLES, dtype=np.float64) / _STEP_SAMPLES

        orders = _orders(design, individual)
        highest = _NYQUIST_SHARE * rate_hz / 2.0 / self._motion.highest_speed_hz
        self._steady = _one_turn(orders["shaft"], highest, individual)
        self._loaded = _one_turn(orders["blade"] | orders["mesh"], highest, individual)
        magnitude = _noise_magnitude(design, rate_hz, individual)
        self._flow = NoiseStream((settings.seed, 0), magnitude, self.cell_samples)
        power = 1.0 + float(np.mean(self._steady**2) + np.mean(self._loaded**2))
        self._level = 10.0 ** (settings.level_dbfs / 20.0)
        self._scale = np.float32(self._level / np.sqrt(power))
        self._room: NoiseStream | None = None
        self._room_level = np.float32(10.0 ** (settings.room_dbfs / 20.0))
        if settings.runs_s is not None:
            key = (settings.seed, _ROOM_STREAM)
            self._room = NoiseStream(key, _room_magnitude(rate_hz), self.cell_samples)
        self._faults = faults_of(settings, self._motion, self.cell_samples)

    def cell(self, index: int) -> FloatArray:
        """The sound of ``[index, index + 1) * cell_samples``, float32, within full scale."""
        first_sample = index * self.cell_samples
        steps_s = (first_sample + _STEP_SAMPLES * np.arange(self._steps + 1)) / self._rate_hz
        revolutions = self._between(self._motion.revolutions(steps_s))
        load = self._motion.load(steps_s)
        speed = self._motion.relative_speed(steps_s)
        drive = self._motion.drive(steps_s)
        at = ((revolutions % 1.0) * _TABLE_POINTS).astype(np.int32)

        sound = self._between(load**1.5 * speed * drive**_FLOW_LAW).astype(np.float32)
        sound *= self._loaded.take(at)
        imbalance = self._between(drive**_SHAFT_LAW).astype(np.float32)
        sound += imbalance * self._steady.take(at)
        flow = self._between(load * speed**1.5 * drive**_FLOW_LAW).astype(np.float32)
        flow *= self._flow.cell(index)
        sound += flow
        sound *= self._scale
        cell = CellTime(index, first_sample / self._rate_hz, self._rate_hz, revolutions, imbalance)
        for fault in self._faults:
            fault.add_to(sound, cell, self._level)
        if self._room is not None:
            sound += self._room_level * self._room.cell(index)
        return np.clip(sound, -1.0, 1.0, out=sound)

    def _between(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Linear between the steps. Shape: ``(n_steps + 1,)`` to ``(cell_samples,)``."""
        rise = (values[1:] - values[:-1])[:, np.newaxis] * self._ramp
        rise += values[:-1, np.newaxis]
        return rise.ravel()


def _orders(design: _Design, individual: np.random.Generator) -> dict[str, dict[int, float]]:
    """Amplitudes by multiple of the shaft frequency; they vary by 2 dB between machines."""
    shaft = {h: design.shaft * a for h, a in enumerate(_SHAFT_HARMONICS, 1)}
    blade: dict[int, float] = {}
    mesh: dict[int, float] = {}
    for lines, count, level, harmonics, sidebands in (
        (blade, design.blades, design.blade, _BLADE_HARMONICS, _BLADE_SIDEBANDS),
        (mesh, design.teeth, design.mesh, _MESH_HARMONICS, _MESH_SIDEBANDS),
    ):
        for h, amplitude in enumerate(harmonics, 1) if count else ():
            lines[h * count] = level * amplitude
            for offset, share in sidebands.items():
                lines[h * count + offset] = level * amplitude * share
    for lines in (shaft, blade, mesh):
        for order in lines:
            lines[order] *= 10.0 ** (individual.normal(0.0, 2.0) / 20.0)
    return {"shaft": shaft, "blade": blade, "mesh": mesh}


def _one_turn(
    amplitudes: dict[int, float], highest_order: float, individual: np.random.Generator
) -> FloatArray:
    """The waveform of one revolution, up to ``highest_order``. Shape: ``(points,)``."""
    angle = 2.0 * np.pi * np.arange(_TABLE_POINTS) / _TABLE_POINTS
    revolution = np.zeros(_TABLE_POINTS)
    for order, amplitude in amplitudes.items():
        phase = individual.uniform(0.0, 2.0 * np.pi)
        if order <= highest_order:
            revolution += amplitude * np.sin(order * angle + phase)
    return revolution.astype(np.float32)


def _noise_magnitude(
    design: _Design, rate_hz: int, individual: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Spectrum of the flow noise with the resonances of the structure. Shape: ``(257,)``."""
    hz = np.linspace(0.0, rate_hz / 2.0, 257)
    octaves = np.log2(np.maximum(hz, 100.0) / 100.0)
    magnitude = 10.0 ** (design.noise_slope_db * octaves / 20.0)
    for nominal_hz in design.resonances_hz:
        centre_hz = nominal_hz * individual.uniform(0.93, 1.07)
        width_hz = 0.12 * centre_hz
        magnitude *= 1.0 + 1.2 / (1.0 + ((hz - centre_hz) / width_hz) ** 2)
    magnitude[0] = 0.0
    return magnitude


def _room_magnitude(rate_hz: int) -> npt.NDArray[np.float64]:
    """Spectrum of a quiet room: falling, with the flat noise of a microphone. Shape: ``(257,)``."""
    hz = np.linspace(0.0, rate_hz / 2.0, 257)
    magnitude: npt.NDArray[np.float64] = np.hypot(100.0 / np.maximum(hz, 100.0), 0.02)
    magnitude[0] = 0.0
    return magnitude
