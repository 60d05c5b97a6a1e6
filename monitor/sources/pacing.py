"""Recorded or computed sound in real time."""

from __future__ import annotations

import time
from collections.abc import Iterator

from monitor.sources.waiting import Wait


class Pacer:
    """When a position of the stream is due.

    The clock starts with the first position. Every wait is measured from there, so that
    delays do not add up.
    """

    def __init__(self, *, realtime: bool) -> None:
        self._realtime = realtime
        self._start_s: float | None = None

    def wait(self, position_s: float) -> Iterator[Wait]:
        """The wait until ``position_s`` after the start; none if that is over."""
        if not self._realtime:
            return
        now_s = time.monotonic()
        if self._start_s is None:
            self._start_s = now_s
        due_s = self._start_s + position_s
        while now_s < due_s:
            yield Wait(due_s)
            now_s = time.monotonic()
