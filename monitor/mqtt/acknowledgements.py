"""When an answer of the broker counts, and what it changes."""

from __future__ import annotations

import time

from monitor.mqtt.in_flight import InFlight
from monitor.mqtt.messages import OUTLIVED_S, PACKET_TOO_LARGE, Acknowledgement
from monitor.mqtt.outgoing import Outgoing
from monitor.mqtt.retries import Repetition


class Acknowledgements:
    """The answers on one connection. ``is_311``: whether it uses MQTT 3.1.1. Used by one thread.

    ``is_careful`` of the methods: whether only one message may be in flight now.
    """

    def __init__(self, outgoing: Outgoing, in_flight: InFlight, *, is_311: bool) -> None:
        self._outgoing = outgoing
        self._in_flight = in_flight
        self._is_311 = is_311
        self._held: list[tuple[float, Acknowledgement]] = []
        """Answers that do not count yet, and when they do, in order."""
        self._quiet_until_s = 0.0

    def quiet_s(self, *, is_careful: bool) -> float:
        """How long to send nothing, because of the answer to a message that was sent alone."""
        return self._quiet_until_s - time.monotonic() if is_careful else 0.0

    def due_in_s(self, at_most_s: float, *, is_careful: bool) -> float:
        """Seconds until an answer counts or something may be sent, at most ``at_most_s``."""
        waits_s = [due_s - time.monotonic() for due_s, _ in self._held]
        if (quiet_s := self.quiet_s(is_careful=is_careful)) > 0:
            waits_s.append(quiet_s)
        return min(at_most_s, *waits_s) if waits_s else at_most_s

    def arrived(self, answer: Acknowledgement, *, is_careful: bool) -> None:
        """An answer counts at once, or when the connection has outlived it.

        MQTT 3.1.1 has no negative answers, so that an alert might be lost.
        """
        sent = self._in_flight.get(answer.mid)
        if sent is None:  # a score
            return
        counts_s = time.monotonic() + OUTLIVED_S
        if is_careful:
            self._quiet_until_s = counts_s
        may_be_lost = is_careful or (sent.event_id and self._is_311)
        if answer.accepted and may_be_lost:
            self._held.append((counts_s, answer))
        else:
            self._take(answer)

    def count_held(self) -> None:
        """Take the answers that the connection has outlived."""
        while self._held and self._held[0][0] <= time.monotonic():
            self._take(self._held.pop(0)[1])

    def _take(self, answer: Acknowledgement) -> None:
        sent = self._in_flight.pop(answer.mid)
        if sent is None:  # the connection is about to end
            return
        out = self._outgoing
        if sent.event_id:
            out.alerts.answered(sent, answer)
        is_picture = out.pictures.answered(sent.topic)
        if sent.is_score:
            out.doubts.accepted(sent.topic)
        if answer.accepted:
            out.refusals.accepted(sent.topic)
            out.learned.accepted(sent.topic, sent.size_bytes)
            return
        out.retained.mark_unsent(sent.topic)
        if answer.reason_code == PACKET_TOO_LARGE:
            out.learned.refuse(sent.size_bytes)
        else:
            repetition = Repetition.OPEN if is_picture else Repetition.SURE
            repetition = Repetition.URGENT if sent.event_id else repetition
            out.refusals.refused(sent.topic, answer.text, repetition)
