"""A steady offset of the samples (DC), as converters and sound cards add it."""

from __future__ import annotations

import math
from collections import deque

from monitor.domain import FloatArray

STEADY_CELLS = 8
"""In four seconds, sound below 1 Hz hardly ever looks like an offset. In two it does at times."""
_STEADY_SHARE = 0.3


def mean_of(cell: FloatArray) -> float:
    """The mean of the samples of a cell. Shape: ``(n_samples,)``."""
    return float(cell.sum()) / len(cell)


class SteadyOffset:
    """The mean of the samples over some cells (``monitor.audio.cells``), and whether it is steady.

    Slow sound changes the means from cell to cell, and an offset does not. State: the means of the
    newest ``n_cells`` cells.
    """

    def __init__(self, n_cells: int) -> None:
        self._means: deque[float] = deque(maxlen=n_cells)
        self._n_cells = n_cells

    def gap(self) -> None:
        """Sound was lost: the next cells begin anew."""
        self._means.clear()

    def add(self, mean: float) -> None:
        """Take the mean of the next cell."""
        self._means.append(mean)

    @property
    def mean(self) -> float:
        """Of all cells, full scale is 1; 0 while there are fewer than ``n_cells``."""
        return sum(self._means) / self._n_cells if len(self._means) == self._n_cells else 0.0

    @property
    def steady(self) -> float:
        """The mean while it is nearly the same in all cells, otherwise 0."""
        mean = self.mean
        variance = sum((one - mean) ** 2 for one in self._means) / self._n_cells
        return mean if math.sqrt(variance) <= _STEADY_SHARE * abs(mean) else 0.0
