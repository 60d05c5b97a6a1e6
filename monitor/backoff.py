"""Pauses between attempts, each twice as long as the one before."""

from __future__ import annotations

import random


class Backoff:
    """Pauses that double from ``first_s`` to ``longest_s``.

    Each pause is shortened at random by up to a quarter, so that machines that failed
    together do not try again together.
    """

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._next_s = first_s
        self._random = random.SystemRandom()

    def reset(self) -> None:
        """Start again with the shortest pause."""
        self._next_s = self._first_s

    def next_s(self, *, longest: bool = False) -> float:
        """The next pause in seconds; ``longest``: the longest one in its place."""
        planned_s = self._longest_s if longest else self._next_s
        self._next_s = min(2.0 * self._next_s, self._longest_s)
        return planned_s * self._random.uniform(0.75, 1.0)
