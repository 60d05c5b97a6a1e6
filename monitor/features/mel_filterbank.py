"""The mel filterbank: triangular bands on Slaney's mel scale."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from monitor.domain import DoubleArray

_BREAK_HZ = 1000.0
_BREAK_MEL = 15.0
_LOG_STEP = math.log(6.4) / 27.0


def hz_to_mel(frequency_hz: npt.ArrayLike) -> DoubleArray:
    """Slaney's mel scale: linear to 1 kHz (15 mel), logarithmic above.

    Malcolm Slaney, Auditory Toolbox, Interval Research technical report 1998-010.
    Shape in, shape out; Hz in, mel out.
    """
    hz = np.asarray(frequency_hz, dtype=np.float64)
    above = _BREAK_MEL + np.log(np.maximum(hz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(hz < _BREAK_HZ, hz * _BREAK_MEL / _BREAK_HZ, above)


def mel_to_hz(mel: npt.ArrayLike) -> DoubleArray:
    """The inverse of :func:`hz_to_mel`."""
    mels = np.asarray(mel, dtype=np.float64)
    above = _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mels, _BREAK_MEL) - _BREAK_MEL))
    return np.where(mels < _BREAK_MEL, mels * _BREAK_HZ / _BREAK_MEL, above)


def band_corners_hz(f_min_hz: float, f_max_hz: float, n_mels: int) -> DoubleArray:
    """Corners of the triangles, Hz. Shape: ``(n_mels + 2,)``; band b peaks at b + 1."""
    low, high = hz_to_mel([f_min_hz, f_max_hz])
    return mel_to_hz(np.linspace(low, high, n_mels + 2))


@lru_cache(maxsize=8)
def mel_filterbank(
    f_min_hz: float, f_max_hz: float, n_mels: int, n_fft: int, sample_rate_hz: int
) -> DoubleArray:
    """Triangular bands of unit area.

    Shape: ``(n_mels, n_fft // 2 + 1)``, weights >= 0. The same numbers as
    ``librosa.filters.mel(htk=False, norm="slaney")``.
    """
    corners = band_corners_hz(f_min_hz, f_max_hz, n_mels)
    bins_hz = np.fft.rfftfreq(n_fft, 1.0 / sample_rate_hz)
    widths = np.diff(corners)
    slopes = corners[:, None] - bins_hz[None, :]
    rising = -slopes[:-2] / widths[:-1, None]
    falling = slopes[2:] / widths[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    weights: DoubleArray = triangles * (2.0 / (corners[2:] - corners[:-2]))[:, None]
    weights.setflags(write=False)
    return weights
