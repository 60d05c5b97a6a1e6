"""Growing pauses between attempts."""

from __future__ import annotations

import random


class Backoff:
    """Growing pauses with jitter, so that many children do not start at once for ever."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._next_s = first_s
        self._random = random.SystemRandom()

    def reset(self) -> None:
        """All went well for a while: begin with the shortest pause again."""
        self._next_s = self._first_s

    def next_s(self) -> float:
        """The next pause: within a quarter of the planned one, which doubles up to the longest."""
        planned_s = self._next_s
        self._next_s = min(2.0 * planned_s, self._longest_s)
        return planned_s * self._random.uniform(0.75, 1.25)
