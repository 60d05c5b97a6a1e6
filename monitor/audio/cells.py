"""Cuts sound into cells of half a second, on which a property of the sound is measured."""

from __future__ import annotations

import numpy as np

from monitor.domain import AudioBlock, FloatArray

CELL_S = 0.5


class SoundCells:
    """Blocks of any size to cells of ``CELL_S``.

    Cells lie side by side from the last discontinuity on. State: the samples of the cell that is
    not complete yet (``_pending``, ``_n_pending`` of them), and where it begins.
    """

    def __init__(self) -> None:
        self._pending: list[FloatArray] = []
        self._n_pending = 0
        self._first_sample = 0

    def push(self, block: AudioBlock) -> list[tuple[int, FloatArray]]:
        """The cells that ``block`` completes: the sample after the cell, and its samples."""
        if block.discontinuous:
            self._pending, self._n_pending = [], 0
        if not self._n_pending:
            self._first_sample = block.first_sample
        cell_samples = round(CELL_S * block.sample_rate_hz)
        samples = block.samples
        cells = []
        while self._n_pending + len(samples) >= cell_samples:
            n_new = cell_samples - self._n_pending
            cell, samples = samples[:n_new], samples[n_new:]
            if self._pending:
                cell = np.concatenate((*self._pending, cell))
                self._pending, self._n_pending = [], 0
            self._first_sample += cell_samples
            cells.append((self._first_sample, cell))
        if len(samples):
            self._pending.append(samples.copy())
            self._n_pending += len(samples)
        return cells
