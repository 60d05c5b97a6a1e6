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

    def parts(self, first: int, count: int, rate_hz: float, least: int) -> Iterator[slice | Wait]:
        """The rows from position ``first`` on, at ``rate_hz``, as what is due at a time.

        Yields slices of ``range(count)``, of ``least`` rows or more except for the last one, and
        what is waited for. One slice with all rows if this is not in real time.
        """
        done = 0
        while done < count:
            end = min(count, done + least) if self._realtime else count
            yield from self.wait((first + end) / rate_hz)
            if self._start_s is not None:
                passed_s = time.monotonic() - self._start_s
                end = min(count, max(end, int(passed_s * rate_hz) - first))
            yield slice(done, end)
            done = end
