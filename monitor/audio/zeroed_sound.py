"""Lost sound in whose place there are zeros.

Programs and drivers often replace sound that a network or a driver has lost by samples that are
exactly 0. A microphone gives none between louder samples, because it has noise.
"""

from __future__ import annotations

import numpy as np

from monitor.domain import FloatArray

_ZEROED_S = 0.01
_LEAST_RMS = 5e-4
"""Of the other samples, 16 steps of 16 bits: quieter sound may be rounded to zeros."""


def is_zeroed(cell: FloatArray, sample_rate_hz: int) -> bool:
    """Whether 10 ms of zeros or more lie in sound that is not quiet. Shape: ``(n_samples,)``."""
    n = max(4, round(_ZEROED_S * sample_rate_hz))
    # A stretch of n zeros has two neighbours among every (n / 2)th sample.
    some = cell[:: n // 2] == 0.0
    if not (some[1:] & some[:-1]).any():
        return False
    others = np.flatnonzero(cell)
    if not len(others) or float(np.dot(cell, cell)) < _LEAST_RMS**2 * len(others):
        return False
    return int(np.diff(others, prepend=-1, append=len(cell)).max()) > n
