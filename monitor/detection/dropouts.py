"""Sound that was lost again and again, with zeros in its place."""

from __future__ import annotations

from collections import deque

from monitor.audio.cells import CELL_S
from monitor.audio.zeroed_sound import is_zeroed
from monitor.domain import FloatArray
from monitor.model.capture import Capture

_CELLS = round(30.0 / CELL_S)
_HEALTHY_FACTOR = 2.0


class Dropouts:
    """Whether the sound of a source has zeros in place of lost sound, and that of training has not.

    True from the second such cell within 30 s on, until there was none for 30 s. One by itself is
    too short for an alert. If the training sound had them, it takes more than twice as many. State:
    the cells that no window has reached, the newest ones, and how many of these have no zeros since
    the last one that has.
    """

    def __init__(self, capture: Capture) -> None:
        share = capture.zeroed_share
        self._most = None if share is None else max(1.0, _HEALTHY_FACTOR * share * _CELLS)
        self._n_good = 0
        self.is_on = False
        """Whether the sound has them now."""
        self.gap()

    def gap(self) -> None:
        """Sound was lost, and the source says so: the next cells begin anew."""
        self._waiting: deque[tuple[float, bool]] = deque()
        self._newest: deque[bool] = deque(maxlen=_CELLS)

    def measure(self, end_s: float, cell: FloatArray, sample_rate_hz: int) -> None:
        """Measure a cell at the rate of the source that ends at ``end_s``."""
        if self._most is not None:
            self._waiting.append((end_s, is_zeroed(cell, sample_rate_hz)))

    def add(self, end_s: float) -> None:
        """Check a window that ends at ``end_s``."""
        while self._most is not None and self._waiting and self._waiting[0][0] <= end_s:
            _, has_zeros = self._waiting.popleft()
            self._newest.append(has_zeros)
            self._n_good = 0 if has_zeros else self._n_good + 1
            self.is_on = self._n_good < _CELLS and (self.is_on or sum(self._newest) > self._most)
