"""Sound of a machine as it would be at a steady speed: resampled by the angle of the shaft.

Computed order tracking (Fyfe and Munck, Mechanical Systems and Signal Processing 11, 1997), with a
relative speed in place of a tachometer.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from monitor.diagnosis.mains_lines import without_mains
from monitor.diagnosis.speed_track import SpeedTrack
from monitor.domain import DoubleArray, FloatArray

_TAPS, _PHASES = 10, 1024
_BETA = 8.0
_KNOT_S = 0.01
_BLOCK = 1 << 16


def steadied(samples: FloatArray, rate_hz: int, track: SpeedTrack) -> FloatArray:
    """The same sound at its mean speed, without the lines of the mains.

    Shape: ``(n_samples,)``, the same. These lines would be spread over many frequencies.
    """
    n = len(samples)
    spectrum = np.fft.rfft(samples)
    without_mains(spectrum, rate_hz / n)
    # Twice the rate, because a short filter between samples needs room above the highest frequency.
    twice: FloatArray = np.fft.irfft(spectrum, 2 * n).astype(np.float32, copy=False)
    twice *= np.float32(2.0)
    del spectrum
    kernels = _kernels()
    result = np.empty(n, dtype=np.float32)
    for first in range(0, n, _BLOCK):
        places = 2.0 * _places(np.arange(first, min(first + _BLOCK, n)), n, rate_hz, track)
        places = np.clip(places, _TAPS, 2 * n - _TAPS)
        before = np.floor(places).astype(np.intp)
        phase = np.rint((places - before) * _PHASES).astype(np.intp)
        total = np.zeros(len(places), dtype=np.float32)
        for tap in range(_TAPS):
            total += kernels[phase, tap] * twice[before + (tap - _TAPS // 2 + 1)]
        result[first : first + len(places)] = total
    return result


def _places(numbers: npt.NDArray[np.intp], n: int, rate_hz: int, track: SpeedTrack) -> DoubleArray:
    """Where the samples of the result are in the sound, from 0 to ``n - 1``."""
    knots_s = np.linspace(0.0, n / rate_hz, max(2, int(n / rate_hz / _KNOT_S)))
    relative = np.interp(knots_s, track.times_s, track.relative)
    turned = np.concatenate([[0.0], np.cumsum((relative[1:] + relative[:-1]) / 2.0)])
    turned *= n / turned[-1]
    return np.clip(np.interp(numbers, turned, knots_s * rate_hz), 0.0, n - 1.0)


@lru_cache(maxsize=1)
def _kernels() -> FloatArray:
    """A windowed sinc for each fraction of a sample. Shape: ``(_PHASES + 1, _TAPS)``."""
    fraction = np.arange(_PHASES + 1)[:, np.newaxis] / _PHASES
    at = np.arange(_TAPS) - (_TAPS // 2 - 1) - fraction
    inside = np.sqrt(np.maximum(0.0, 1.0 - (2.0 * at / _TAPS) ** 2))
    kernels = np.sinc(at) * np.i0(_BETA * inside) / np.i0(_BETA)
    scaled: FloatArray = (kernels / kernels.sum(axis=1, keepdims=True)).astype(np.float32)
    return scaled
