"""Messages that wait for the broker's acknowledgement."""

from __future__ import annotations

import time
from dataclasses import dataclass


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
