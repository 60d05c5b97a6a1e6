"""When to try again: the broker, and the topics that it refuses."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from enum import Enum

from monitor.backoff import Backoff

_log = logging.getLogger(__name__)

_STABLE_S = 2.0
_CAREFUL_AFTER = 2
_FIRST_REFUSAL_PAUSE_S = 2.0
_LONGEST_REFUSAL_PAUSE_S = 300.0
_FIRST_CLOSING_PAUSE_S = 5.0
_LONGEST_CLOSING_PAUSE_S = 3600.0
_CLOSES_WITHIN_S = 0.5


class Reconnection:
    """Pauses between attempts to connect, from ``min_s`` to ``max_s``.

    After a connection that lasted, the pauses start with ``min_s`` again.
    """

    def __init__(self, min_s: float, max_s: float) -> None:
        self._backoff = Backoff(min_s, max_s)
        self._refused = False
        self._short_lived = 0
        self._began_s = 0.0

    @property
    def careful(self) -> bool:
        """Whether several connections in a row ended soon after they were accepted.

        One of our messages may be the reason. Messages are then sent one at a time to
        find it.
        """
        return self._short_lived >= _CAREFUL_AFTER and self._age_s() < _STABLE_S

    def began(self) -> None:
        """The broker has accepted a connection."""
        self._began_s = time.monotonic()

    def ended(self) -> None:
        """The accepted connection is lost."""
        self._refused = False
        if self._age_s() >= _STABLE_S:
            self._backoff.reset()
            self._short_lived = 0
        else:
            self._short_lived += 1

    def failed(self, *, refused: bool) -> None:
        """No connection was made. ``refused``: only the longest pause makes sense."""
        self._refused = refused

    def reason_found(self) -> None:
        """The message that ended the connections is known and will not be sent for a while."""
        self._backoff.reset()

    def pause_s(self) -> float:
        """Seconds to wait before the next attempt. Call it once for each attempt."""
        return self._backoff.next_s(longest=self._refused)

    def _age_s(self) -> float:
        return time.monotonic() - self._began_s


class Repetition(Enum):
    """Whether a message that the broker refuses is sent again after the pause."""

    SURE = "it is"
    URGENT = "it is, and the pauses do not become long"
    OPEN = "there may be no other message of its topic"


@dataclass(slots=True)
class _Refusal:
    backoff: Backoff
    until_s: float = 0.0
    reason: str = ""
    repetition: Repetition = Repetition.SURE
    at_s: float = 0.0
    closes: bool = False


class Refusals:
    """Topics that the broker refuses, each with a growing pause. Changed by one thread.

    Kept between connections: some brokers close the connection after a refusal, and a
    refused topic must not delay the others.
    """

    def __init__(self) -> None:
        self.summary = ""
        """The refused topics and the reasons in one line; any thread may read it."""
        self._refusals: dict[str, _Refusal] = {}
        self._too_large: dict[str, str] = {}

    def refused(self, topic: str, reason: str, repetition: Repetition) -> None:
        """Do not use the topic for a while, each time for longer."""
        refusal = self._refusals.get(topic)
        if refusal is None:
            pauses = Backoff(_FIRST_REFUSAL_PAUSE_S, _LONGEST_REFUSAL_PAUSE_S)
            refusal = self._refusals[topic] = _Refusal(pauses)
        self._pause(topic, refusal, reason, repetition)

    def closed(self, topic: str, reason: str, repetition: Repetition) -> None:
        """The same with long pauses, because each attempt ends the connection."""
        refusal = self._refusals.get(topic)
        if refusal is None or not refusal.closes:
            pauses = Backoff(_FIRST_CLOSING_PAUSE_S, _LONGEST_CLOSING_PAUSE_S)
            before = "" if refusal is None else refusal.reason
            refusal = self._refusals[topic] = _Refusal(pauses, reason=before, closes=True)
        self._pause(topic, refusal, reason, repetition)

    def ended(self) -> None:
        """The connection is lost: some brokers refuse a topic, and close the connection too."""
        since_s = time.monotonic() - _CLOSES_WITHIN_S
        for topic, one in list(self._refusals.items()):
            is_urgent = one.repetition is Repetition.URGENT
            if one.at_s > since_s and not (one.closes or is_urgent):
                self.closed(topic, one.reason, one.repetition)

    def too_large(self, topic: str, reason: str) -> None:
        """The newest message of the topic is not sent, because it is too large."""
        if self._too_large.get(topic) != reason:
            self._too_large[topic] = reason
            self._report(topic, reason)

    def fits(self, topic: str) -> None:
        """The newest message of the topic is not too large."""
        if self._too_large.pop(topic, None) is not None:
            self._summarize()

    def accepted(self, topic: str) -> None:
        """The broker accepts the topic again."""
        if self._refusals.pop(topic, None) is not None:
            self._summarize()

    def tried_again(self) -> bool:
        """Whether the pause of a refused message is over: it is sent now, and may fail again."""
        paused = self.paused()
        return any(
            one.repetition is not Repetition.OPEN and topic not in paused
            for topic, one in self._refusals.items()
        )

    def has(self, topic: str) -> bool:
        """Whether the broker has refused the topic and not accepted it since."""
        return topic in self._refusals

    def paused(self) -> set[str]:
        """The topics not to use now."""
        now_s = time.monotonic()
        return {topic for topic, refusal in self._refusals.items() if now_s < refusal.until_s}

    def _pause(self, topic: str, refusal: _Refusal, reason: str, repetition: Repetition) -> None:
        refusal.repetition = repetition
        refusal.at_s = time.monotonic()
        refusal.until_s = refusal.at_s + refusal.backoff.next_s()
        if refusal.reason != reason:
            refusal.reason = reason
            self._report(topic, reason)

    def _report(self, topic: str, reason: str) -> None:
        self._summarize()
        _log.error("the broker does not accept a message: %s: %s", topic, reason)

    def _summarize(self) -> None:
        reasons = {topic: one.reason for topic, one in self._refusals.items()} | self._too_large
        self.summary = "; ".join(f"{topic}: {reason}" for topic, reason in sorted(reasons.items()))
