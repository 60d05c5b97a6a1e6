"""The steps of samples that were recorded with few bits.

A recorder with 8 bits, or one whose samples were rounded to 8 bits, gives values at steps of
1/128 of full scale. The rounding adds noise of the power ``step^2 / 12``, with dither three times
as much, which is louder than a quiet machine.
"""

from __future__ import annotations

import numpy as np

from monitor.domain import FloatArray

_BITS = (8, 9, 10)
_FEW = 64


def step_of(cell: FloatArray) -> float:
    """The step of the samples of a cell; 0 where it is finer than 10 bits. ``(n_samples,)``."""
    # Nearly all sound shows in a few samples that it has more bits.
    if not _is_at_steps(cell[:_FEW], _BITS[-1]):
        return 0.0
    if not _is_at_steps(cell, _BITS[-1]) or not cell.any():
        return 0.0
    return 2.0 ** (1 - next(bits for bits in _BITS if _is_at_steps(cell, bits)))


def _is_at_steps(cell: FloatArray, bits: int) -> bool:
    steps = cell * np.float32(2.0 ** (bits - 1))
    return bool((steps == np.rint(steps)).all())
