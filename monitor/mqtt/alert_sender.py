"""Alerts from the outbox to the broker: in order per machine, removed when acknowledged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from monitor.alerts import Alert
from monitor.mqtt.connection import MqttConnection
from monitor.mqtt.in_flight import InFlight, SentMessage
from monitor.mqtt.limits import SHORT_PACKET_BYTES, LearnedPacketLimit
from monitor.mqtt.messages import NO_MATCHING_SUBSCRIBERS, Acknowledgement, Message
from monitor.mqtt.payloads import alert_payload, encode, short_alert_payloads
from monitor.mqtt.retries import Refusals
from monitor.mqtt.topics import Topics
from monitor.outbox.queue import Outbox

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """What happened to the alerts since this process started.

    ``acknowledged``: alerts that the broker has acknowledged; ``no_subscriber``: those of them
    that had no subscriber (MQTT 5 only). ``refused``: refusals of an
    alert, which is then kept. ``short``: alerts sent in the short form. ``connections``:
    connections made; ``protocol``, ``qos``: those of the newest one.
    """

    acknowledged: int = 0
    no_subscriber: int = 0
    refused: int = 0
    short: int = 0
    connections: int = 0
    protocol: str = ""
    qos: int = 1


class AlertSender:
    """Sends one alert of each machine at a time.

    A message is therefore repeated only if its acknowledgement was lost. Used by one
    thread; ``counts`` may be read by any.
    """

    def __init__(self, outbox: Outbox, topics: Topics) -> None:
        self.counts = DeliveryCounts()
        self._outbox = outbox
        self._topics = topics
        self._sent = 0
        self._last_turn: dict[str, int] = {}

    def connected(self, protocol: str, qos: int) -> None:
        """Count a new connection."""
        connections = self.counts.connections + 1
        self.counts = replace(self.counts, connections=connections, protocol=protocol, qos=qos)

    def send(
        self,
        connection: MqttConnection,
        in_flight: InFlight,
        refusals: Refusals,
        learned: LearnedPacketLimit,
        limit: int,
    ) -> None:
        """Send the oldest alert of each machine that has none in flight, at most ``limit``.

        Machines take turns, so that a new alert does not wait until all alerts of
        another machine are sent. An alert that is too large for the broker is sent in
        the short form, and kept if that is too large too.
        """
        skipped = in_flight.topics() | refusals.paused()
        machines = self._outbox.machines_waiting()
        for machine in sorted(machines, key=lambda name: self._last_turn.get(name, 0)):
            topic = self._topics.alert(machine)
            if topic in skipped:
                continue
            if limit <= 0:
                return
            for alert in self._outbox.pending(1, machine):
                message, is_short = _fitting(alert, topic, connection, learned)
                if message is None:
                    refusals.too_large(topic, "the short form of an alert is too large too")
                    continue
                refusals.fits(topic)
                mid = connection.send(message)
                size_bytes = connection.packet_bytes(message)
                in_flight.add(mid, topic, size_bytes, machine, alert.event_id)
                self._count_short(topic, is_short)
                limit -= 1
                self._sent += 1
                self._last_turn[machine] = self._sent

    def _count_short(self, topic: str, is_short: bool) -> None:
        if is_short:
            if not self.counts.short:
                _log.warning("%s: sent in the short form, which the broker's limit allows", topic)
            self.counts = replace(self.counts, short=self.counts.short + 1)

    def answered(self, sent: SentMessage, answer: Acknowledgement) -> None:
        """Count the answer, and remove the alert from the outbox if the broker has taken it."""
        if not answer.accepted:
            self.counts = replace(self.counts, refused=self.counts.refused + 1)
            return
        self._outbox.acknowledge(sent.event_id)
        no_subscriber = answer.reason_code == NO_MATCHING_SUBSCRIBERS
        self.counts = replace(
            self.counts,
            acknowledged=self.counts.acknowledged + 1,
            no_subscriber=self.counts.no_subscriber + no_subscriber,
        )
        if no_subscriber:
            _log.warning(
                "the broker has an alert, but no client subscribes to %s",
                sent.topic,
                extra={"machine": sent.machine},
            )


def fitting_alert(
    alert: Alert, topic: str, fits: Callable[[Message], bool]
) -> tuple[Message | None, bool]:
    """The longest form of the alert that ``fits``, if any, and whether it is a short form."""
    message = Message(topic, encode(alert_payload(alert)))
    if fits(message):
        return message, False
    for payload in short_alert_payloads(alert):
        message = Message(topic, encode(payload), smallest=True)
        if fits(message):
            return message, True
    return None, True


def _fitting(
    alert: Alert, topic: str, connection: MqttConnection, learned: LearnedPacketLimit
) -> tuple[Message | None, bool]:
    """As ``fitting_alert``; a limit that is not known exactly allows ``SHORT_PACKET_BYTES``."""

    def fits(message: Message) -> bool:
        size_bytes = connection.packet_bytes(message)
        small = is_small_enough or size_bytes <= SHORT_PACKET_BYTES
        return small and connection.fits(message) and learned.allows(topic, size_bytes)

    full = Message(topic, encode(alert_payload(alert)))
    is_small_enough = learned.allows(topic, connection.packet_bytes(full))
    return fitting_alert(alert, topic, fits)
