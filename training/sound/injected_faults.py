"""Sounds of faults that are made without the simulator, to be mixed into healthy recordings.

Three kinds: impacts that excite a resonance, one spectral line, and a rub. Everything about a
fault is drawn from its seed and stays the same at every level, so that levels can be compared.
At sample rates below 16 kHz, all limits in Hz of spectra are lower in proportion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from monitor.domain import DoubleArray, FloatArray

Fault = Callable[[int, int, np.random.Generator], DoubleArray]
"""The sound of a fault: samples, sample rate in Hz and random numbers to ``(n_samples,)``."""

LEVELS_DB = (-6.0, -12.0, -18.0, -24.0)
IMPACT_RATE_HZ = (40.0, 120.0)
RESONANCE_HZ = (1_000.0, 6_000.0)
LINE_HZ = (200.0, 6_000.0)
RUB_CENTRE_HZ = (800.0, 5_000.0)
SHAFT_HZ = (8.0, 50.0)
_FULL_RATE_HZ = 16_000
_JITTER = 0.01
_DAMPING = (0.01, 0.04)
_LINE_WANDER_HZ = 0.5
_RUB_WIDTH_OCTAVES = 2.0 / 3.0
_RUB_SHARPNESS = 4


def impacts(n_samples: int, rate_hz: int, rng: np.random.Generator) -> DoubleArray:
    """Decaying oscillations of one resonance, 40 to 120 times a second.

    The time between impacts varies by 1 %, as with a slip in a rolling bearing, and their
    strength by 20 %.
    """
    impact_hz = rng.uniform(*IMPACT_RATE_HZ)
    resonance_hz = _log_uniform(rng, RESONANCE_HZ, rate_hz)
    damping = rng.uniform(*_DAMPING)
    most = int(1.2 * impact_hz * n_samples / rate_hz) + 8
    periods_s = (1.0 + _JITTER * rng.standard_normal(most)) / impact_hz
    at = np.round((np.cumsum(periods_s) - periods_s[0]) * rate_hz).astype(int)
    at = at[at < n_samples]
    train = np.zeros(n_samples)
    np.add.at(train, at, 1.0 + 0.2 * rng.standard_normal(len(at)))
    time_s = np.arange(round(0.05 * rate_hz)) / rate_hz
    angular = 2.0 * np.pi * resonance_hz
    ring = np.exp(-damping * angular * time_s) * np.sin(angular * time_s)
    return _convolved(train, ring)


def line(n_samples: int, rate_hz: int, rng: np.random.Generator) -> DoubleArray:
    """One tone, whose frequency wanders by about half a hertz."""
    tone_hz = _log_uniform(rng, LINE_HZ, rate_hz)
    wander_hz = _slow_noise(n_samples, rate_hz, rng)
    phase = np.cumsum(tone_hz + _LINE_WANDER_HZ * wander_hz) / rate_hz
    tone: DoubleArray = np.sin(2.0 * np.pi * (phase + rng.random()))
    return tone


def rub(n_samples: int, rate_hz: int, rng: np.random.Generator) -> DoubleArray:
    """Noise of two thirds of an octave, which swells once in each turn of the shaft."""
    centre_hz = _log_uniform(rng, RUB_CENTRE_HZ, rate_hz)
    shaft_hz = rng.uniform(*SHAFT_HZ)
    half = 2.0 ** (_RUB_WIDTH_OCTAVES / 2.0)
    noise = _band(rng.standard_normal(n_samples), rate_hz, centre_hz / half, centre_hz * half)
    turn = shaft_hz * np.arange(n_samples) / rate_hz + rng.random()
    swell = (0.5 + 0.5 * np.cos(2.0 * np.pi * turn)) ** _RUB_SHARPNESS
    rubbing: DoubleArray = noise * swell
    return rubbing


FAULTS: Mapping[str, Fault] = {"impacts": impacts, "line": line, "rub": rub}


def fault(kind: str, n_samples: int, rate_hz: int, seed: tuple[int, ...]) -> FloatArray:
    """The sound of a fault with an RMS of 1. Shape: ``(n_samples,)``."""
    rng = np.random.default_rng((list(FAULTS).index(kind), *seed))
    sound = FAULTS[kind](n_samples, rate_hz, rng)
    return np.asarray(sound / np.sqrt(np.square(sound).mean()), dtype=np.float32)


def _log_uniform(rng: np.random.Generator, limits_hz: tuple[float, float], rate_hz: int) -> float:
    frequency_hz = float(np.exp(rng.uniform(*np.log(limits_hz))))
    return frequency_hz * min(1.0, rate_hz / _FULL_RATE_HZ)


def _slow_noise(n_samples: int, rate_hz: int, rng: np.random.Generator) -> DoubleArray:
    """Noise that changes within seconds, with a standard deviation of about 1."""
    n_points = int(n_samples / rate_hz) + 2
    at_s = np.arange(n_samples) / rate_hz
    noise: DoubleArray = np.interp(at_s, np.arange(n_points), rng.standard_normal(n_points))
    return noise


def _convolved(train: DoubleArray, ring: DoubleArray) -> DoubleArray:
    length = len(train) + len(ring)
    product = np.fft.rfft(train, length) * np.fft.rfft(ring, length)
    return np.fft.irfft(product, length)[: len(train)]


def _band(noise: DoubleArray, rate_hz: int, low_hz: float, high_hz: float) -> DoubleArray:
    spectrum = np.fft.rfft(noise)
    frequency_hz = np.fft.rfftfreq(len(noise), 1.0 / rate_hz)
    spectrum[(frequency_hz < low_hz) | (frequency_hz > high_hz)] = 0.0
    return np.fft.irfft(spectrum, len(noise))
