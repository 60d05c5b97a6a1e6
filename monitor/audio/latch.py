"""A fault that begins and ends only after it was the same for some time."""

from __future__ import annotations


class Latch:
    """On after ``on_after`` bad values in a row, off after ``off_after`` good ones in a row."""

    def __init__(self, on_after: int, off_after: int) -> None:
        self._on_after, self._off_after = on_after, off_after
        self._bad, self._good = 0, 0
        self.on = False

    def push(self, *, bad: bool, good: bool) -> None:
        """Take the next value, which may be neither."""
        self._bad = self._bad + 1 if bad else 0
        self._good = self._good + 1 if good else 0
        if self._bad >= self._on_after:
            self.on = True
        elif self._good >= self._off_after:
            self.on = False
