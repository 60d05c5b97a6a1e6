"""The newest payloads: retained topics, and one score per machine until it is time to send."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection


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


class RetainedTopics:
    """The newest payload of each retained topic. Safe to use from any thread.

    ``first``: the topic that is sent before all others.
    """

    def __init__(self, first: str = "") -> None:
        self._first = first
        self._guard = threading.Lock()
        self._payloads: dict[str, bytes] = {}
        self._unsent: set[str] = set()

    def put(self, topic: str, payload: bytes) -> bool:
        """Replace the payload of a topic; whether that changes anything."""
        with self._guard:
            if self._payloads.get(topic) == payload:
                return False
            self._payloads[topic] = payload
            self._unsent.add(topic)
            return True

    def mark_unsent(self, prefix: str = "") -> None:
        """Have the topics that begin so sent again."""
        with self._guard:
            self._unsent |= {topic for topic in self._payloads if topic.startswith(prefix)}

    def take_unsent(self, limit: int, except_for: Collection[str]) -> list[tuple[str, bytes]]:
        """Topics and payloads to send now, no longer unsent; those excepted stay for later."""
        with self._guard:
            ready = self._unsent.difference(except_for)
            topics = sorted(ready, key=lambda topic: (topic != self._first, topic))[: max(0, limit)]
            self._unsent.difference_update(topics)
            return [(topic, self._payloads[topic]) for topic in topics]
