"""Topics on which the broker refuses what we publish, and when to try them again."""

from __future__ import annotations

import time
from dataclasses import dataclass

_FIRST_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 300.0


@dataclass(frozen=True, slots=True)
class _Refusal:
    until_s: float
    pause_s: float
    reason: str


class Refusals:
    """Outlives connections: some brokers hang up after a refusal, and a topic that is
    refused must not keep the others from being served. Used by one thread."""

    def __init__(self) -> None:
        self._refusals: dict[str, _Refusal] = {}

    def refused(self, topic: str, reason: str) -> None:
        """Leave the topic alone for a while, each time for longer."""
        last = self._refusals.get(topic)
        pause_s = _FIRST_PAUSE_S if last is None else min(2 * last.pause_s, _LONGEST_PAUSE_S)
        self._refusals[topic] = _Refusal(time.monotonic() + pause_s, pause_s, reason)

    def accepted(self, topic: str) -> None:
        """All is well with the topic again."""
        self._refusals.pop(topic, None)

    def resting(self) -> set[str]:
        """The topics to leave alone now."""
        now_s = time.monotonic()
        return {topic for topic, refusal in self._refusals.items() if now_s < refusal.until_s}

    def summary(self) -> str:
        """What is refused and why, in one line; empty when nothing is."""
        return "; ".join(f"{topic}: {one.reason}" for topic, one in sorted(self._refusals.items()))
