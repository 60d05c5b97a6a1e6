"""Gaps in the spectrum that show a lossy codec."""

from __future__ import annotations

from collections import deque

from monitor.audio.cells import CELL_S
from monitor.audio.spectral_gaps import CODEC_SHARE, ShareOfGaps, share_of_gaps
from monitor.domain import FloatArray
from monitor.model.capture import Capture

_CELLS = round(3.0 / CELL_S)
_CELLS_NEEDED = round(2.0 / CELL_S)
_RECOVERED_SHARE = 0.7
_HEALTHY_FACTOR = 2.0
_SAMPLED = 3
_FEW = 0.5
"""Of the limit: with fewer gaps than this, one of ``_SAMPLED`` cells is enough."""


def is_sampled(end_sample: int, n_samples: int) -> bool:
    """Whether the cell of ``n_samples`` is measured in any case. ``end_sample``: after the cell."""
    return end_sample // n_samples % _SAMPLED == 0


class CodecGaps:
    """Whether the spectrum has gaps as a codec leaves them, and more than that of training.

    Measuring a cell takes as long as its log-mel. So while the newest cells have few gaps, only one
    of three is measured, and the next ones count as the same. State: the shares of cells that no
    window has reached, those of the newest cells, and of the cells before the next one to come.
    """

    def __init__(
        self, capture: Capture, sample_rate_hz: int, share: ShareOfGaps = share_of_gaps
    ) -> None:
        """``share``: computes the share of gaps of a cell."""
        self._share, self._rate_hz = share, sample_rate_hz
        self._limit = max(CODEC_SHARE, _HEALTHY_FACTOR * capture.gap_share)
        self.is_coded = False
        """Whether the sound has them now."""
        self.gap()

    def gap(self) -> None:
        """Sound was lost: the next cells begin anew."""
        self._waiting: deque[tuple[int, float]] = deque()
        self._newest: deque[float] = deque(maxlen=_CELLS)
        self._measured: deque[float] = deque(maxlen=_CELLS)

    @property
    def is_known(self) -> bool:
        """Whether the windows have reached enough cells, those of two seconds."""
        return len(self._newest) >= _CELLS_NEEDED

    def measure(self, end_sample: int, cell: FloatArray) -> None:
        """Measure a cell that ends before ``end_sample``. Shape: ``(n_samples,)``."""
        measured = self._measured
        has_few = len(measured) == _CELLS and max(measured) < _FEW * self._limit
        if has_few and not is_sampled(end_sample, len(cell)):
            share = measured[-1]
        else:
            share = self._share(cell, self._rate_hz)
        measured.append(share)
        self._waiting.append((end_sample, share))

    def add(self, end_sample: int) -> None:
        """Check a window that ends before ``end_sample``."""
        while self._waiting and self._waiting[0][0] <= end_sample:
            self._newest.append(self._waiting.popleft()[1])
        if self.is_known:
            limit = self._limit * (_RECOVERED_SHARE if self.is_coded else 1.0)
            self.is_coded = sum(self._newest) / len(self._newest) > limit
