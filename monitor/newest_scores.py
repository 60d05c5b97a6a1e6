"""The newest score of every machine, held until it is time to send them all."""

from __future__ import annotations

import threading
import time


class NewestScores:
    """Payloads by machine: put by any thread, taken by one at most every ``every_s``.

    A hundred machines would otherwise wake the thread that sends hundreds of times a second.
    ``take_due``, ``due_in_s`` and ``hurry`` belong to that thread alone.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._held: dict[str, bytes] = {}
        self._guard = threading.Lock()
        self._due_s = 0.0

    def put(self, machine: str, payload: bytes) -> bool:
        """Hold this in place of the machine's last one. Whether nothing was held before."""
        with self._guard:
            is_first = not self._held
            self._held[machine] = payload
        return is_first

    def take_due(self) -> dict[str, bytes]:
        """Everything that is held, if it is time; nothing otherwise."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return {}
        with self._guard:
            taken, self._held = self._held, {}
        if taken:
            self._due_s = now_s + self._every_s
        return taken

    def due_in_s(self, at_most_s: float) -> float:
        """How long nothing is to be taken, if nothing new comes."""
        if not self._held:
            return at_most_s
        return min(at_most_s, max(0.0, self._due_s - time.monotonic()))

    def hurry(self) -> None:
        """What is held next may be taken at once."""
        self._due_s = 0.0

    def clear(self) -> None:
        """Forget what is held."""
        with self._guard:
            self._held.clear()
