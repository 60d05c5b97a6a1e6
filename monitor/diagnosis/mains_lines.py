"""Where the tones of the mains are. They stay where they are if the speed of a machine varies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MAINS_HZ = (50.0, 60.0)
_MOST_HZ = 1_000.0
_WANDERING = 0.001
"""By how much the frequency of a mains grid differs from its nominal one, as a share."""
_LEAST_HZ = 0.1
_BESIDE_HZ = 3.0
_SHARP = 30.0


def near_mains(hz: npt.NDArray[np.floating], beside_hz: float) -> npt.NDArray[np.bool_]:
    """Which frequencies are near a multiple of 50 or 60 Hz. Shape: any, the same.

    ``beside_hz``: how far a line reaches in the spectrum.
    """
    near = np.zeros(hz.shape, dtype=np.bool_)
    for mains_hz in MAINS_HZ:
        nearest_hz = np.maximum(1.0, np.rint(hz / mains_hz)) * mains_hz
        near |= np.abs(hz - nearest_hz) <= beside_hz + _WANDERING / 2.0 * hz
    return near & (hz <= _MOST_HZ)


def without_mains(spectrum: npt.NDArray[np.complexfloating], step_hz: float) -> None:
    """Lower the sharp lines at multiples of 50 and 60 Hz to what is beside them, in place.

    Shape: ``(n,)``, the transform of a whole recording from 0 Hz in steps of ``step_hz``.
    """
    for mains_hz in MAINS_HZ:
        for number in range(1, int(_MOST_HZ / mains_hz) + 1):
            hz = number * mains_hz
            half_hz = _LEAST_HZ + _WANDERING * hz
            at = _bins(hz - half_hz, hz + half_hz, step_hz, len(spectrum))
            around = _bins(hz - _BESIDE_HZ, hz + _BESIDE_HZ, step_hz, len(spectrum))
            power = np.abs(spectrum[around]) ** 2
            line = np.abs(spectrum[at]) ** 2
            floor = float(np.median(power)) if len(power) else 0.0
            if line.max(initial=0.0) > _SHARP * floor:
                spectrum[at] *= np.sqrt(np.minimum(1.0, floor / np.maximum(line, 1e-30)))


def _bins(low_hz: float, high_hz: float, step_hz: float, n: int) -> slice:
    return slice(min(n, max(0, round(low_hz / step_hz))), min(n, round(high_hz / step_hz) + 1))
