"""Cuts sound into cells of half a second, on which a property of the sound is measured."""

from __future__ import annotations

import numpy as np

from monitor.domain import AudioBlock, FloatArray

CELL_S = 0.5


class SoundCells:
    """Blocks of any size to cells of ``CELL_S``.

    Cells lie side by side from the last discontinuity on. State: the samples of the cell that is
    not complete yet, and where it begins.
    """

    def __init__(self) -> None:
        self._pending = np.empty(0, np.float32)
        self._first_sample = 0

    def push(self, block: AudioBlock) -> list[tuple[int, FloatArray]]:
        """The cells that ``block`` completes: the sample after the cell, and its samples."""
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
            cells.append((self._first_sample, cell))
        self._pending = samples.copy()
        return cells
