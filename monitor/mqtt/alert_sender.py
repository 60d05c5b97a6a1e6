"""Alerts from the outbox over a connection: in order per machine, gone when acknowledged."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from monitor.mqtt.connection import (
    NO_MATCHING_SUBSCRIBERS,
    Acknowledgement,
    Message,
    MqttConnection,
)
from monitor.mqtt.in_flight import Flight, Flights
from monitor.mqtt.payloads import alert_payload, encode
from monitor.mqtt.topics import Topics
from monitor.outbox.queue import Outbox

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """What became of the alerts since this process started.

    ``acknowledged`` by the broker, of them ``no_subscriber`` without anybody who could
    have received them (MQTT 5 only). ``refused``: how often the broker refused one,
    which is kept. ``connections``: how often the broker was reached; ``protocol`` of
    the newest one.
    """

    acknowledged: int = 0
    no_subscriber: int = 0
    refused: int = 0
    connections: int = 0
    protocol: str = ""


class AlertDelivery:
    """Sends one alert of each machine at a time, so that a message is repeated only when its
    acknowledgement was lost. Used by one thread; ``counts`` may be read from any."""

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
        self, connection: MqttConnection, flights: Flights, resting: set[str], room: int
    ) -> None:
        """Send the oldest alert of every machine that has none under way, at most ``room``.

        ``resting``: topics to leave alone. Machines take turns, so that a new alert does
        not wait behind the backlog of others.
        """
        later = flights.topics() | resting
        machines = self._outbox.machines_waiting()
        for machine in sorted(machines, key=lambda name: self._last_turn.get(name, 0)):
            topic = self._topics.alert(machine)
            if topic in later:
                continue
            if room <= 0:
                return
            for alert in self._outbox.pending(1, machine):
                mid = connection.send(Message(topic, encode(alert_payload(alert))))
                flights.begin(mid, topic, machine, alert.event_id)
                room -= 1
                self._sent += 1
                self._last_turn[machine] = self._sent

    def answered(self, flight: Flight, answer: Acknowledgement) -> None:
        """Forget the alert if the broker has taken it, and keep count."""
        if not answer.accepted:
            self.counts = replace(self.counts, refused=self.counts.refused + 1)
            return
        self._outbox.acknowledge(flight.event_id)
        unheard = answer.reason_code == NO_MATCHING_SUBSCRIBERS
        self.counts = replace(
            self.counts,
            acknowledged=self.counts.acknowledged + 1,
            no_subscriber=self.counts.no_subscriber + unheard,
        )
        if unheard:
            _log.warning(
                "an alert reached the broker but nobody subscribes to %s",
                flight.topic,
                extra={"machine": flight.machine},
            )
