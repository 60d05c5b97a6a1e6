"""The newest payloads: retained topics, and the scores of each machine until they are sent."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection
from typing import ClassVar


class NewestScores:
    """Payloads by machine, taken together at most every ``every_s`` seconds.

    Without this limit, a hundred machines would wake the sending thread hundreds of
    times a second. Any thread may ``put``; the other methods but ``clear`` are for the
    sending thread.
    """

    MOST: ClassVar[int] = 64
    """So many payloads of a machine are held; of more, the oldest are discarded."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._held: dict[str, deque[bytes]] = {}
        self._guard = threading.Lock()
        self._due_s = 0.0
        """Until then, the sending thread does not wait longer than to this time."""

    def put(self, machine: str, payload: bytes) -> bool:
        """Add a payload of the machine; returns whether the sending thread must be woken."""
        with self._guard:
            must_wake = not self._held and time.monotonic() >= self._due_s
            self._held.setdefault(machine, deque(maxlen=self.MOST)).append(payload)
        return must_wake

    def take_due(self) -> list[tuple[str, bytes]]:
        """All payloads with their machines if they are due; otherwise nothing."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return []
        with self._guard:
            taken, self._held = self._held, {}
            if taken:
                self._due_s = now_s + self._every_s
        return [(machine, payload) for machine, held in taken.items() for payload in held]

    def due_in_s(self, at_most_s: float) -> float:
        """Seconds until ``take_due`` must be called again, at most ``at_most_s``."""
        with self._guard:
            left_s = self._due_s - time.monotonic()
            if left_s > 0.0:
                return min(at_most_s, left_s)
            return 0.0 if self._held else at_most_s

    def hurry(self) -> None:
        """Make the next payloads due at once."""
        self._due_s = 0.0

    def clear(self) -> None:
        """Discard all payloads."""
        with self._guard:
            self._held.clear()


class NewestPictures:
    """The newest picture of each topic, until the broker has answered.

    A picture that the broker refuses is not sent again, nor one that was without an answer on
    ``MOST_TRIES`` connections. Every method may be called from any thread.
    """

    MOST_TRIES: ClassVar[int] = 3

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: dict[str, tuple[bytes, int]] = {}
        self._sent: dict[str, tuple[bytes, int]] = {}
        """Pictures, and how often they were sent, by topic."""

    def put(self, topic: str, picture: bytes) -> None:
        """Send a picture, in place of one that waits on the same topic."""
        with self._guard:
            self._waiting[topic] = (picture, 0)
            self._sent.pop(topic, None)

    def take(self, limit: int, except_for: Collection[str]) -> list[tuple[str, bytes]]:
        """At most ``limit`` topics to send now with their pictures, none of ``except_for``."""
        with self._guard:
            topics = [topic for topic in self._waiting if topic not in except_for][: max(0, limit)]
            taken = {topic: self._waiting.pop(topic) for topic in topics}
            self._sent |= {topic: (picture, n + 1) for topic, (picture, n) in taken.items()}
            return [(topic, picture) for topic, (picture, _) in taken.items()]

    def answered(self, topic: str) -> bool:
        """The broker has taken or refused a picture, or it cannot be sent at all.

        Returns whether this topic had one.
        """
        with self._guard:
            return self._sent.pop(topic, None) is not None

    def connected(self) -> None:
        """A new connection: send again what was not answered."""
        with self._guard:
            left = {topic: one for topic, one in self._sent.items() if one[1] < self.MOST_TRIES}
            self._waiting = left | self._waiting
            self._sent = {}


class RetainedTopics:
    """The newest payload of each retained topic. Every method may be called from any thread.

    ``first``: the topic that is sent before all others.
    """

    def __init__(self, first: str = "") -> None:
        self._first = first
        self._guard = threading.Lock()
        self._payloads: dict[str, bytes] = {}
        self._unsent: set[str] = set()

    def put(self, topic: str, payload: bytes) -> bool:
        """Replace the payload of a topic; returns whether it differs from the old one."""
        with self._guard:
            if self._payloads.get(topic) == payload:
                return False
            self._payloads[topic] = payload
            self._unsent.add(topic)
            return True

    def mark_unsent(self, prefix: str = "", *, removed: bool = True) -> None:
        """Mark the topics that begin with ``prefix`` to be sent again.

        ``removed``: also those whose payload is empty.
        """
        with self._guard:
            self._unsent |= {
                topic
                for topic, payload in self._payloads.items()
                if topic.startswith(prefix) and (payload or removed)
            }

    def take_unsent(self, limit: int, except_for: Collection[str]) -> list[tuple[str, bytes]]:
        """At most ``limit`` topics to send now with their payloads, none of ``except_for``."""
        with self._guard:
            ready = self._unsent.difference(except_for)
            topics = sorted(ready, key=lambda topic: (topic != self._first, topic))[: max(0, limit)]
            self._unsent.difference_update(topics)
            return [(topic, self._payloads[topic]) for topic in topics]
