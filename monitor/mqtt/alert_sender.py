"""Alerts from the outbox to the broker: in order per machine, removed when acknowledged."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from monitor.mqtt.connection import MqttConnection
from monitor.mqtt.in_flight import InFlight, SentMessage
from monitor.mqtt.messages import NO_MATCHING_SUBSCRIBERS, Acknowledgement, Message
from monitor.mqtt.payloads import alert_payload, encode
from monitor.mqtt.topics import Topics
from monitor.outbox.queue import Outbox

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """What happened to the alerts since this process started.

    ``acknowledged``: alerts that the broker has taken; ``no_subscriber``: those of them
    for which the broker knew no subscriber (MQTT 5 only). ``refused``: refusals of an
    alert, which is then kept. ``connections``: connections made; ``protocol``: that of
    the newest one.
    """

    acknowledged: int = 0
    no_subscriber: int = 0
    refused: int = 0
    connections: int = 0
    protocol: str = ""


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

    def connected(self, protocol: str) -> None:
        """Count a new connection."""
        connections = self.counts.connections + 1
        self.counts = replace(self.counts, connections=connections, protocol=protocol)

    def send(
        self, connection: MqttConnection, in_flight: InFlight, paused: set[str], limit: int
    ) -> None:
        """Send the oldest alert of each machine that has none in flight, at most ``limit``.

        ``paused``: topics not to use. Machines take turns, so that a new alert does not
        wait until all alerts of another machine are sent.
        """
        skipped = in_flight.topics() | paused
        machines = self._outbox.machines_waiting()
        for machine in sorted(machines, key=lambda name: self._last_turn.get(name, 0)):
            topic = self._topics.alert(machine)
            if topic in skipped:
                continue
            if limit <= 0:
                return
            for alert in self._outbox.pending(1, machine):
                mid = connection.send(Message(topic, encode(alert_payload(alert))))
                in_flight.add(mid, topic, machine, alert.event_id)
                limit -= 1
                self._sent += 1
                self._last_turn[machine] = self._sent

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
