"""Recorded or computed sound in real time."""

from __future__ import annotations

import threading
import time


class Pacer:
    """Waits until a position of the stream is due.

    The clock starts with the first wait. Every wait is measured from there, so that
    delays do not add up.
    """

    def __init__(self, *, realtime: bool) -> None:
        self._realtime = realtime
        self._start_s: float | None = None

    def wait(self, position_s: float, stop: threading.Event) -> bool:
        """Wait until ``position_s`` after the start. Returns false if ``stop`` is set."""
        if not self._realtime:
            return not stop.is_set()
        now_s = time.monotonic()
        if self._start_s is None:
            self._start_s = now_s
        remaining_s = self._start_s + position_s - now_s
        return not (stop.wait(remaining_s) if remaining_s > 0 else stop.is_set())
