"""What should be retained on the broker, and which of it the broker may not have."""

from __future__ import annotations

import threading
from collections.abc import Collection


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
