"""The steps of samples that were recorded with few bits.

A recorder with 8 bits, or one whose samples were rounded to 8 bits, gives values at steps of
1/128 of full scale. The rounding adds noise of the power ``step^2 / 12``, with dither three times
as much, which is louder than a quiet machine.
"""

from __future__ import annotations

import numpy as np

from monitor.domain import AudioBlock, FloatArray

CELL_S = 0.5
"""Sound whose steps are measured together."""
_BITS = (8, 9, 10)


class SampleSteps:
    """Blocks of any size to the step of each cell of ``CELL_S``; 0 where it is finer than 10 bits.

    Cells lie side by side from the last discontinuity on. State: the samples of the cell that is
    not complete yet, and where it begins.
    """

    def __init__(self) -> None:
        self._pending = np.empty(0, np.float32)
        self._first_sample = 0

    def push(self, block: AudioBlock) -> list[tuple[float, float]]:
        """The cells that ``block`` completes: the second at which the cell ends, and its step."""
        if block.discontinuous:
            self._pending = np.empty(0, np.float32)
        if not len(self._pending):
            self._first_sample = block.first_sample
        cell_samples = round(CELL_S * block.sample_rate_hz)
        samples = np.concatenate((self._pending, block.samples))
        cells = []
        while len(samples) >= cell_samples:
            cell, samples = samples[:cell_samples], samples[cell_samples:]
            self._first_sample += cell_samples
            cells.append((self._first_sample / block.sample_rate_hz, _step(cell)))
        self._pending = samples.copy()
        return cells


def _step(cell: FloatArray) -> float:
    for bits in _BITS:
        steps = cell * np.float32(2.0 ** (bits - 1))
        if np.array_equal(steps, np.rint(steps)):
            return float(2.0 ** (1 - bits)) if cell.any() else 0.0
    return 0.0
