"""Sounds of machines for tests of the diagnosis; not those of the simulated machine."""

from __future__ import annotations

import numpy as np

from monitor.domain import DoubleArray, FloatArray

RATE_HZ = 16_000


def machine(
    seconds: float, seed: int, *, shaft_hz: float = 24.0, tones: tuple[float, ...] = (1, 2, 3, 5)
) -> FloatArray:
    """Noise that falls with the frequency, and tones at multiples of the speed of the shaft."""
    random = np.random.default_rng(seed)
    n = round(seconds * RATE_HZ)
    spectrum = np.fft.rfft(random.normal(0.0, 1.0, n))
    hz = np.fft.rfftfreq(n, 1.0 / RATE_HZ)
    sound = np.fft.irfft(spectrum / np.sqrt(1.0 + hz / 500.0), n)
    time_s = np.arange(n) / RATE_HZ
    for order in tones:
        phase = random.uniform(0.0, 2.0 * np.pi)
        sound += 0.1 * np.sin(2.0 * np.pi * order * shaft_hz * time_s + phase)
    return (0.03 * sound).astype(np.float32)


def impacts(
    seconds: float,
    rate_hz: float,
    seed: int,
    *,
    resonance_hz: float = 3_200.0,
    jitter: float = 0.01,
    level: float = 0.1,
) -> FloatArray:
    """Decaying resonances at a rate; each is early or late by up to ``jitter`` of the distance."""
    random = np.random.default_rng(seed)
    n = round(seconds * RATE_HZ)
    count = int(seconds * rate_hz)
    times_s = (np.arange(count) + random.uniform(-jitter, jitter, count)) / rate_hz
    train: DoubleArray = np.zeros(n)
    at = np.clip((times_s * RATE_HZ).astype(int), 0, n - 1)
    np.add.at(train, at, random.uniform(0.7, 1.3, count))
    ring_s = np.arange(round(0.01 * RATE_HZ)) / RATE_HZ
    ring = np.exp(-900.0 * ring_s) * np.sin(2.0 * np.pi * resonance_hz * ring_s)
    size = n + len(ring)
    struck = np.fft.irfft(np.fft.rfft(train, size) * np.fft.rfft(ring, size), size)[:n]
    return (level * struck).astype(np.float32)


def healthy_pieces(
    count: int = 5, seconds: float = 15.0, shaft_hz: float = 24.0
) -> list[FloatArray]:
    """Healthy recordings of one machine."""
    return [machine(seconds, 100 + seed, shaft_hz=shaft_hz) for seed in range(count)]


def babble(seconds: float, seed: int) -> FloatArray:
    """Sound like speech: a voice whose pitch glides, four syllables a second, with formants."""
    random = np.random.default_rng(seed)
    n = round(seconds * RATE_HZ)
    time_s = np.arange(n) / RATE_HZ
    knots = int(seconds * 4) + 2
    pitch_hz = np.interp(time_s * 4, np.arange(knots), random.uniform(90.0, 220.0, knots))
    loud = np.interp(time_s * 8, np.arange(2 * knots), random.uniform(0.0, 1.0, 2 * knots) ** 2)
    phase = 2.0 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    voice = sum(np.sin(h * phase) / h for h in range(1, 25))
    return (0.05 * loud * voice).astype(np.float32)
