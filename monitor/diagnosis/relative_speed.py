"""How fast a machine runs compared with another recording of it, from all its lines together.

On a logarithmic axis, the lines of the same machine at another speed are shifted. Orders need not
be known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.diagnosis.mains_lines import near_mains
from monitor.diagnosis.segments import place_of
from monitor.diagnosis.sound import Spectra
from monitor.domain import DoubleArray, FloatArray

_FASTER = 1.15
"""A machine at a speed further away has other resonances, so it is not compared by its lines."""
_LOW_HZ, _TOP_HZ = 15.0, 2_000.0
_STEP = 0.0005
_DEVIATIONS, _MOST_DB = 6.0, 12.0
_LINE_BINS = 2.5
_LEAST_ALIKE = 0.5
_ADVANTAGE = 1.3
_PEAK = 0.006
"""A shift beside the best one, up to this share, is that of the same lines."""


def relative_speed(sound: Spectra, other: Spectra) -> float | None:
    """The speed of the machine in ``sound`` divided by that in ``other``, from 0.87 to 1.15.

    None if both have too few lines in common to be certain, or if another ratio fits nearly as
    well. Lines of the mains do not count.
    """
    return _ratio(*(_lines(one) for one in (sound, other)))


def relative_speeds(sounds: Sequence[Spectra]) -> tuple[DoubleArray, int]:
    """The speed in each divided by that in the most typical, and the number of that one.

    Shape: ``(n,)``; 1 where it is not certain. At least one sound.
    """
    lines = [_lines(one) for one in sounds]
    scaled = np.stack([one for one, _ in lines])
    norms = np.sqrt((scaled**2) @ lines[0][1])
    scaled /= np.maximum(norms, 1e-6)[:, np.newaxis]
    typical = int(((scaled * lines[0][1]) @ scaled.sum(axis=0)).argmax())
    ratios = [_ratio(one, lines[typical]) or 1.0 for one in lines]
    return np.array(ratios), typical


def _lines(sound: Spectra) -> tuple[FloatArray, FloatArray]:
    """The lines on a logarithmic axis, and the frequencies of the axis. Shape: ``(n,)`` each."""
    bin_hz = sound.plan.bin_hz
    top_hz = min(_TOP_HZ, 0.95 * sound.plan.rate_hz / 2.0)
    count = round(np.log(top_hz / _LOW_HZ) / _STEP)
    axis_hz = _LOW_HZ * np.exp(_STEP * np.arange(count))
    least_db = np.float32(_DEVIATIONS * sound.deviation_db)
    used = sound.prominence_db[: int(top_hz / bin_hz) + 2]
    above_db = np.clip(used - least_db, 0.0, _MOST_DB)
    above_db[near_mains(np.arange(len(used)) * bin_hz, _LINE_BINS * bin_hz)] = 0.0
    values = np.interp(axis_hz / bin_hz, np.arange(len(used)), above_db)
    return values.astype(np.float32), axis_hz.astype(np.float32)


def _ratio(
    one: tuple[FloatArray, FloatArray], other: tuple[FloatArray, FloatArray]
) -> float | None:
    (values, weights_hz), (others, _) = one, other
    most = round(np.log(_FASTER) / _STEP)
    norm = float(np.sqrt((values**2 @ weights_hz) * (others**2 @ weights_hz)))
    if norm <= 0.0:
        return None
    padded = np.pad(others * weights_hz, most)
    alike = np.correlate(padded, values, mode="valid")[::-1] / norm
    best = int(alike.argmax())
    beside = np.abs(np.arange(len(alike)) - best) * _STEP > _PEAK
    if alike[best] < max(_LEAST_ALIKE, _ADVANTAGE * float(alike[beside].max())):
        return None
    return float(np.exp((place_of(alike, best) - most) * _STEP))
