"""The work on one accepted connection: send what waits, and receive what arrives.

The last will is in ``connection.py``.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import asdict

from monitor.mqtt.acknowledgements import Acknowledgements
from monitor.mqtt.connection import MqttConnection
from monitor.mqtt.in_flight import InFlight
from monitor.mqtt.incoming import Incoming
from monitor.mqtt.messages import BrokerError, Message
from monitor.mqtt.outgoing import Outgoing
from monitor.mqtt.payloads import encode, health_payload
from monitor.mqtt.topics import ONLINE, STOPPED

_HEALTH_INTERVAL_S = 5.0
_MAX_IN_FLIGHT = 32
_STOP_RESERVE_S = 0.3
_REPUBLISH_INTERVAL_S = 60.0


class UnansweredError(BrokerError):
    """The connection is open, but the broker no longer answers."""


class Session:
    """Sends and receives on one connection. Used by one thread.

    Every method may raise ``BrokerError``, and ``UnansweredError`` when
    an acknowledgement takes longer than ``ack_timeout_s``. ``one_at_a_time``: whether
    only one message may be in flight now. ``wake``: a socket that ends the waiting.
    """

    def __init__(
        self,
        connection: MqttConnection,
        outgoing: Outgoing,
        *,
        ack_timeout_s: float,
        one_at_a_time: Callable[[], bool],
        wake: socket.socket,
    ) -> None:
        self.in_flight = InFlight()
        self._connection = connection
        self._outgoing = outgoing
        self._ack_timeout_s = ack_timeout_s
        self._one_at_a_time = one_at_a_time
        self._wake = wake
        self._health_due_s = 0.0
        self._republish_due_s = time.monotonic() + _REPUBLISH_INTERVAL_S
        self._incoming = Incoming(
            connection, outgoing.topics.status, outgoing.handlers, outgoing.signals
        )
        self._answers = Acknowledgements(outgoing, self.in_flight, is_311=connection.is_311)
        self._careful = False

    def begin(self) -> None:
        """Subscribe, and mark all retained messages to be sent."""
        limits = self._connection.limits
        self._outgoing.alerts.connected(self._connection.protocol_name, limits.max_qos)
        self._incoming.begin(ends_soon=self._one_at_a_time())
        self._outgoing.retained.put(self._outgoing.topics.status, ONLINE.encode())
        self._outgoing.retained.mark_unsent()
        self._outgoing.pictures.connected()
        self._outgoing.doubts.began()

    def run_once(self, timeout_s: float) -> None:
        """Send what waits, then wait at most ``timeout_s`` for something to happen."""
        self._incoming.subscribe_to_signals()
        self._send_waiting()
        self._receive(self._outgoing.scores.due_in_s(timeout_s))

    def finish(self, stop_by_s: float) -> bool:
        """Send what waits, then ``stopped``, until ``stop_by_s`` of the monotonic clock.

        Returns whether the broker has acknowledged ``stopped``.
        """
        self._outgoing.scores.hurry()
        self._incoming.ignore_status()
        while (left_s := stop_by_s - _STOP_RESERVE_S - time.monotonic()) > 0:
            self._send_waiting()
            if not self.in_flight:
                break
            self._receive(min(left_s, 0.1))
        self.in_flight.clear()
        self._send_retained(self._outgoing.topics.status, STOPPED.encode())
        while self.in_flight and (left_s := stop_by_s - time.monotonic()) > 0:
            self._receive(left_s)
        return not self.in_flight

    def _send_waiting(self) -> None:
        """Send alerts first, then retained messages, then pictures, then scores."""
        self._update_health()
        self._republish()
        out = self._outgoing
        self._careful = self._one_at_a_time() or out.refusals.tried_again()
        if self._answers.quiet_s(is_careful=self._careful) > 0:
            return
        window = min(1 if self._careful else _MAX_IN_FLIGHT, self._connection.limits.max_in_flight)
        free = window - len(self.in_flight)
        out.alerts.send(self._connection, self.in_flight, out.refusals, out.learned, free)
        later = self.in_flight.topics() | out.refusals.paused()
        for topic, payload in out.retained.take_unsent(window - len(self.in_flight), later):
            self._send_retained(topic, payload)
        later = self.in_flight.topics() | out.refusals.paused()
        for topic, payload in out.pictures.take(window - len(self.in_flight), later):
            self._send_picture(Message(topic, payload))
        for machine, payload in out.scores.take_due():
            self._send_score(Message(out.topics.score(machine), payload, qos=0))

    def _send_score(self, message: Message) -> None:
        """Send a score, or discard it. One that may end the connection is sent alone."""
        out = self._outgoing
        if message.topic in out.refusals.paused() or not self._fits(message):
            return
        is_test = self._careful or out.doubts.has(message.topic)
        if is_test and self.in_flight:
            return
        mid = self._connection.send(message, is_answered=is_test)
        out.doubts.sent(message.topic)
        if is_test:
            size_bytes = self._connection.packet_bytes(message)
            self.in_flight.add(mid, message.topic, size_bytes, is_score=True)

    def _fits(self, message: Message) -> bool:
        size_bytes = self._connection.packet_bytes(message)
        fits = self._connection.fits(message)
        fits = fits and self._outgoing.learned.allows(message.topic, size_bytes)
        if fits:
            self._outgoing.refusals.fits(message.topic)
        else:
            limit_bytes = self._connection.limits.max_packet_bytes
            limit = "the broker accepts" if limit_bytes is None else f"{limit_bytes} bytes"
            self._outgoing.refusals.too_large(message.topic, f"the message is larger than {limit}")
        return fits

    def _send_retained(self, topic: str, payload: bytes) -> None:
        message = Message(topic, payload, retain=True)
        if not payload and not self._connection.limits.can_retain:
            return  # nothing is retained that this could remove
        if self._fits(message):
            mid = self._connection.send(message)
            self.in_flight.add(mid, topic, self._connection.packet_bytes(message))

    def _send_picture(self, message: Message) -> None:
        if self._fits(message):
            mid = self._connection.send(message)
            self.in_flight.add(mid, message.topic, self._connection.packet_bytes(message))
        else:
            self._outgoing.pictures.answered(message.topic)

    def _republish(self) -> None:
        """Once a minute: another client may have changed what is retained, or nothing is."""
        if time.monotonic() >= self._republish_due_s:
            self._republish_due_s = time.monotonic() + _REPUBLISH_INTERVAL_S
            self._outgoing.retained.mark_unsent(removed=False)

    def _receive(self, timeout_s: float) -> None:
        wait_s = self._answers.due_in_s(timeout_s, is_careful=self._careful)
        try:
            self._connection.poll(wait_s, self._wake)
        finally:  # also the acknowledgements that arrived before the connection was lost
            for answer in self._connection.take_acknowledgements():
                self._answers.arrived(answer, is_careful=self._careful)
        self._answers.count_held()
        with contextlib.suppress(BlockingIOError):
            self._wake.recv(4096)
        if self._incoming.receive():
            self._outgoing.retained.mark_unsent(removed=False)
        if self.in_flight.oldest_age_s() > self._ack_timeout_s:
            raise UnansweredError(
                f"{self._connection.where}: no acknowledgement for {self._ack_timeout_s:g} s; "
                "connecting again"
            )

    def _update_health(self) -> None:
        """Publish the health if it changed, at most every 5 s."""
        if time.monotonic() >= self._health_due_s:
            self._health_due_s = time.monotonic() + _HEALTH_INTERVAL_S
            out = self._outgoing
            counts = asdict(out.alerts.counts) | {
                "refusal": out.refusals.summary,
                "limits": self._connection.limits.describe(),
            }
            health = health_payload(asdict(out.outbox.health()), counts)
            out.retained.put(out.topics.health, encode(health))
