"""Sounds mixed into healthy recordings at a chosen level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr

from benchmarks._machine import sound_of
from benchmarks.detection.cases import DATA, files
from monitor.domain import FloatArray
from monitor.sources.settings import SimulatedFault, SimulatedSettings

RATE_HZ = 16_000
FAULTS = ("bearing", "imbalance", "looseness", "rub", "cavitation")


def read(path: Path) -> FloatArray:
    """A recording as mono at 16 kHz. Shape: ``(n_samples,)``."""
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    return np.asarray(soxr.resample(mono, rate_hz, RATE_HZ), dtype=np.float32)


def at_level(machine: FloatArray, noise: FloatArray, level_db: float, start: int) -> FloatArray:
    """The machine with the noise from ``start`` on, its RMS ``level_db`` above the machine's."""
    length = min(len(noise), len(machine) - start)
    part = noise[:length]
    gain = _rms(machine) / max(_rms(part), 1e-9) * 10 ** (level_db / 20)
    mixed = machine.copy()
    mixed[start : start + length] += np.float32(gain) * part
    return mixed


def simulated_fault(kind: str, seconds: float, seed: int) -> FloatArray:
    """The sound of a fault alone: the simulated machine with it minus the same without it."""
    fault = SimulatedFault.model_validate({"kind": kind, "onset_s": 0.0, "severity": 1.0})
    well = SimulatedSettings(seed=seed, realtime=False, duration_s=seconds)
    broken = well.model_copy(update={"faults": (fault,)})
    return sound_of(broken) - sound_of(well)


def noises(name: str) -> list[FloatArray]:
    """The clips of one class of everyday noises."""
    return [read(path) for path in files(DATA / "esc10_noise" / name)]


def _rms(samples: FloatArray) -> float:
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean()))
