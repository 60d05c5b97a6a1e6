"""Altered copies of sound: what changes between days without being a fault of the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
import torchaudio.functional as audio

_SLOPE_TAPS = 1025
_SLOPE_ABOUT_HZ = 1_000.0
_SLOPE_FROM_HZ, _SLOPE_TO_HZ = 50.0, 8_000.0
_NOISE_FROM_HZ = 50.0
_ECHO_S = 0.15
_DECAY = 6.9
"""The reverberation falls by 60 dB within its length."""

Alter = Callable[[torch.Tensor, int, float, torch.Generator], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Alteration:
    """One kind of change, from samples ``(n,)`` at a rate to samples of about the same length.

    ``sizes``: in ``unit``, from the smallest to the largest change. ``usual``: the size where no
    other day shows which one is right. ``has_sign``: it goes in two directions, so a negative
    size is possible.
    """

    name: str
    unit: str
    sizes: tuple[float, ...]
    usual: float
    has_sign: bool
    alter: Alter


def _gain(samples: torch.Tensor, _rate_hz: int, db: float, _: torch.Generator) -> torch.Tensor:
    return _tensor(audio.gain(samples, db))


def _slope(
    samples: torch.Tensor, rate_hz: int, db_per_octave: float, _: torch.Generator
) -> torch.Tensor:
    """A filter without delay. The recursive ones of torchaudio take a second for each second."""
    n = _SLOPE_TAPS - 1
    hz = torch.fft.rfftfreq(n, 1.0 / rate_hz).clamp(_SLOPE_FROM_HZ, _SLOPE_TO_HZ)
    gain = 10.0 ** (db_per_octave * torch.log2(hz / _SLOPE_ABOUT_HZ) / 20.0)
    taps = torch.fft.irfft(gain, n=n).roll(n // 2)
    taps = torch.cat((taps, taps[:1])) * torch.hann_window(_SLOPE_TAPS, periodic=False)
    return _convolved(samples, taps, delay=n // 2)


def _speed(
    samples: torch.Tensor, _rate_hz: int, percent: float, _: torch.Generator
) -> torch.Tensor:
    """Faster and higher. The ratio has a small denominator at every rate, for a small filter."""
    ratio = Fraction(1.0 + abs(percent) / 100.0).limit_denominator(200)
    faster, slower = ratio.numerator, ratio.denominator
    pair = (faster, slower) if percent > 0 else (slower, faster)
    return _tensor(audio.resample(samples, *pair))


def _noise(samples: torch.Tensor, rate_hz: int, db: float, random: torch.Generator) -> torch.Tensor:
    """Noise of a room, which falls by 6 dB per octave; ``db`` relative to the machine."""
    n = len(samples)
    spectrum = torch.fft.rfft(torch.randn(n, generator=random))
    hz = torch.fft.rfftfreq(n, 1.0 / rate_hz).clamp(min=_NOISE_FROM_HZ)
    noise = torch.fft.irfft(spectrum / hz, n=n)
    return _tensor(audio.add_noise(samples, noise, torch.tensor(-db)))


def _reverberation(
    samples: torch.Tensor, rate_hz: int, db: float, random: torch.Generator
) -> torch.Tensor:
    """A short reverberation; ``db`` relative to the direct sound."""
    n = round(_ECHO_S * rate_hz)
    tail = torch.randn(n, generator=random) * torch.exp(-_DECAY * torch.arange(n) / n)
    tail *= 10.0 ** (db / 20.0) / tail.norm()
    tail[0] += 1.0
    return _convolved(samples, tail, delay=0)


ALTERATIONS: Sequence[Alteration] = (
    Alteration("gain", "dB", (6.0,), 6.0, True, _gain),
    Alteration("slope", "dB per octave", (0.125, 0.25, 0.5), 0.25, True, _slope),
    Alteration("speed", "%", (1.0, 1.5, 2.0), 1.5, True, _speed),
    Alteration("noise", "dB", (-50.0, -40.0, -30.0), -40.0, False, _noise),
    Alteration("reverberation", "dB", (-24.0, -18.0, -12.0), -18.0, False, _reverberation),
)


def _convolved(samples: torch.Tensor, taps: torch.Tensor, *, delay: int) -> torch.Tensor:
    """As long as ``samples``. The length of the transform is 4 to 8 times a power of 2: quick."""
    n = len(samples) + len(taps) - 1
    step = 1 << (n.bit_length() - 3)
    padding = -n % step
    padded = torch.nn.functional.pad(taps, (0, padding))
    return _tensor(audio.fftconvolve(samples, padded)[delay : delay + len(samples)])


def _tensor(value: Any) -> torch.Tensor:
    """torchaudio is published without types."""
    samples: torch.Tensor = value
    return samples
