"""The largest of several spectra in each bin, also if the machine ran at other speeds.

What turns with the machine is at the same order, and what does not, such as hum or the tone of
another machine, is at the same frequency. What is compared is not new if it is there in one of
both ways.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from monitor.domain import DoubleArray, FloatArray

SAME_SPEED = 0.003
"""Speeds that differ by a smaller share have their lines within reach of each other."""


def moved(spectrum: FloatArray, ratio: float, first: int = 0) -> FloatArray:
    """The spectrum as it would be at a speed of ``ratio`` times. Shape: ``(..., n)``, the same.

    ``first``: where its first bin is, in bins.
    """
    if abs(ratio - 1.0) < SAME_SPEED:
        return spectrum
    n = spectrum.shape[-1]
    at = np.rint((np.arange(n) + first) / ratio).astype(np.intp) - first
    result: FloatArray = spectrum[..., np.clip(at, 0, n - 1)]
    return result


class Ceiling:
    """The largest of several spectra in each bin, also without one of them.

    ``speeds``: of the machine in each, relative to a common one. Shape: ``(n_spectra,)``.
    """

    def __init__(self, spectra: Sequence[FloatArray], speeds: DoubleArray, first: int = 0) -> None:
        self._first_bin = first
        self._fixed = _Largest(spectra)
        self._turning = self._fixed
        if (np.abs(speeds - 1.0) >= SAME_SPEED).any():
            pairs = zip(spectra, speeds, strict=True)
            self._turning = _Largest([moved(one, 1.0 / speed, first) for one, speed in pairs])

    def without(self, number: int | None, speed: float) -> FloatArray:
        """The ceiling at a speed, without the spectrum of that number; of all for None."""
        fixed = self._fixed.without(number)
        if self._turning is self._fixed and abs(speed - 1.0) < SAME_SPEED:
            return fixed
        turning = moved(self._turning.without(number), speed, self._first_bin)
        both: FloatArray = np.maximum(fixed, turning)
        return both


class _Largest:
    """The largest and the second largest, and which one is the largest."""

    def __init__(self, spectra: Sequence[FloatArray]) -> None:
        self._first = spectra[0].copy()
        self._second = np.full_like(self._first, -np.inf)
        self._which: npt.NDArray[np.int16] = np.zeros(self._first.shape, dtype=np.int16)
        for number, one in enumerate(spectra[1:], 1):
            is_larger = one > self._first
            np.maximum(self._second, np.minimum(one, self._first), out=self._second)
            self._first[is_larger] = one[is_larger]
            self._which[is_larger] = number

    def without(self, number: int | None) -> FloatArray:
        if number is None:
            return self._first
        others: FloatArray = np.where(self._which == number, self._second, self._first)
        return others
