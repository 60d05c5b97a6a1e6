"""Messages that wait for the broker's acknowledgement."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message in flight; ``machine`` and ``event_id`` are empty unless it is an alert.

    ``is_score``: a score that needs an answer.
    """

    topic: str
    sent_s: float
    size_bytes: int = 0
    machine: str = ""
    event_id: str = ""
    is_score: bool = False


class InFlight:
    """The messages in flight on one connection, by their message id."""

    def __init__(self) -> None:
        self._messages: dict[int, SentMessage] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def add(
        self,
        mid: int,
        topic: str,
        size_bytes: int,
        machine: str = "",
        event_id: str = "",
        *,
        is_score: bool = False,
    ) -> None:
        """A message was sent in a packet of ``size_bytes``."""
        self._messages[mid] = SentMessage(
            topic, time.monotonic(), size_bytes, machine, event_id, is_score
        )

    def pop(self, mid: int) -> SentMessage | None:
        """The message that was answered; ``None`` if it is not in flight."""
        return self._messages.pop(mid, None)

    def get(self, mid: int) -> SentMessage | None:
        """The message with this id; ``None`` if it is not in flight."""
        return self._messages.get(mid)

    def clear(self) -> None:
        """Forget all messages, because the connection is lost or about to end."""
        self._messages.clear()

    def only(self) -> SentMessage | None:
        """The message in flight if it is the only one."""
        return next(iter(self._messages.values())) if len(self._messages) == 1 else None

    def topics(self) -> set[str]:
        """The topics with a message in flight."""
        return {message.topic for message in self._messages.values()}

    def oldest_age_s(self) -> float:
        """Seconds that the oldest message has waited; 0 without any."""
        oldest_s = min((message.sent_s for message in self._messages.values()), default=None)
        return 0.0 if oldest_s is None else time.monotonic() - oldest_s
