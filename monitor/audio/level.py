"""The level of sound in dBFS, to set a gain by."""

from __future__ import annotations

import math

import numpy as np

from monitor.domain import FloatArray

FLOOR_DBFS = -120.0


class LevelMeter:
    """The root mean square of the sound since the last reading.

    0 dBFS is the root mean square of a full-scale square wave; a full-scale sine
    is at -3 dBFS (AES17 would call it 0).
    """

    def __init__(self) -> None:
        self._energy = 0.0
        self._n_samples = 0

    def push(self, samples: FloatArray) -> float:
        """Take samples, shape ``(n_samples,)``, full scale +-1; the sum of their squares."""
        energy = float(np.dot(samples, samples))
        self._energy += energy
        self._n_samples += len(samples)
        return energy

    def read_dbfs(self) -> float | None:
        """The level since the last reading, at least ``FLOOR_DBFS``.

        ``None`` if there was no sound, or a sample that is not finite.
        """
        energy, n_samples = self._energy, self._n_samples
        self._energy, self._n_samples = 0.0, 0
        if n_samples == 0 or not math.isfinite(energy):
            return None
        return max(FLOOR_DBFS, 10.0 * math.log10(energy / n_samples + 1e-30))
