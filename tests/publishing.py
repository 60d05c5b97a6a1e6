"""A publisher that runs during a test."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from monitor.mqtt.publisher import MqttPublisher
from monitor.mqtt.settings import MqttSettings
from monitor.outbox.queue import Outbox


@contextlib.contextmanager
def publishing(settings: MqttSettings, outbox: Outbox) -> Iterator[MqttPublisher]:
    """A started publisher, which is stopped at the end of the block."""
    publisher = MqttPublisher(settings, outbox)
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.stop()


def connected(publisher: MqttPublisher) -> bool:
    """Whether the publisher has a connection."""
    return publisher.connection_error() is None


def sequences(payloads: list[bytes]) -> list[int]:
    """The sequence numbers in order of arrival, each ``event_id`` once."""
    alerts = {alert["event_id"]: alert["sequence"] for alert in map(json.loads, payloads)}
    return list(alerts.values())
