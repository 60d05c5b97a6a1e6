"""Which scores may be the reason why connections end: a message with QoS 0 has no answer."""

from __future__ import annotations

import time
from collections import Counter
from typing import ClassVar


class ScoreDoubts:
    """Doubts about the topics of scores, kept between connections. Used by one thread.

    Some brokers close the connection when a topic is not allowed. A topic is in doubt when
    ``MOST_ENDS`` connections in a row ended soon after its first score. Its next score is then sent
    with a request that the broker has to answer.
    """

    MOST_ENDS: ClassVar[int] = 2
    SOON_S: ClassVar[float] = 2.0

    def __init__(self) -> None:
        self._first_sent_s: dict[str, float] = {}
        self._ends: Counter[str] = Counter()

    def began(self) -> None:
        """There is a new connection."""
        self._first_sent_s.clear()

    def sent(self, topic: str) -> None:
        """A score was sent."""
        self._first_sent_s.setdefault(topic, time.monotonic())

    def ended(self) -> None:
        """The connection is lost."""
        soon_s = time.monotonic() - self.SOON_S
        for topic, sent_s in self._first_sent_s.items():
            if sent_s > soon_s:
                self._ends[topic] += 1
            else:
                del self._ends[topic]

    def accepted(self, topic: str) -> None:
        """The broker has answered a request that was sent after a score."""
        del self._ends[topic]

    def has(self, topic: str) -> bool:
        """Whether the next score needs an answer."""
        return self._ends[topic] >= self.MOST_ENDS
