"""Messages that wait for the broker's acknowledgement, and topics that the broker refuses."""

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


@dataclass(frozen=True, slots=True)
class Flight:
    """One message under way; ``machine`` and ``event_id`` are those of an alert."""

    topic: str
    sent_s: float
    machine: str = ""
    event_id: str = ""


class Flights:
    """The messages under way on one connection, by their number."""

    def __init__(self) -> None:
        self._flights: dict[int, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def begin(self, mid: int, topic: str, machine: str = "", event_id: str = "") -> None:
        """A message was sent."""
        self._flights[mid] = Flight(topic, time.monotonic(), machine, event_id)

    def end(self, mid: int) -> Flight | None:
        """It was answered; ``None`` for a message that is not under way."""
        return self._flights.pop(mid, None)

    def clear(self) -> None:
        """The connection is gone, or they no longer matter."""
        self._flights.clear()

    def topics(self) -> set[str]:
        """The topics with a message under way."""
        return {flight.topic for flight in self._flights.values()}

    def oldest_age_s(self) -> float:
        """How long the oldest has waited; 0 if none waits."""
        oldest_s = min((flight.sent_s for flight in self._flights.values()), default=None)
        return 0.0 if oldest_s is None else time.monotonic() - oldest_s
