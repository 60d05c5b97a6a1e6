"""A connection to the broker beside the daemon's, for commands."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from monitor.domain import Alert
from monitor.errors import ServiceUnavailableError
from monitor.mqtt_connection import BrokerError, Message, MqttConnection
from monitor.mqtt_dial import dial
from monitor.mqtt_settings import MqttSettings
from monitor.payloads import alert_payload, encode
from monitor.topics import Topics


@contextmanager
def connected(settings: MqttSettings, name: str) -> Iterator[MqttConnection]:
    """A connection whose client id ends in ``name``: a running daemon keeps its own.

    Raises ``ServiceUnavailableError`` for whatever the broker or the network does,
    also inside the block.
    """
    settings = settings.model_copy(update={"client_id": f"{settings.effective_client_id}-{name}"})
    try:
        connection = dial(settings)
        try:
            yield connection
        finally:
            connection.close(orderly=True)
    except BrokerError as error:
        raise ServiceUnavailableError(str(error)) from error


def send_and_wait(connection: MqttConnection, message: Message, timeout_s: float) -> float:
    """Seconds until the broker acknowledged a message of QoS 1.

    Raises ``BrokerError`` when it refuses or does not answer.
    """
    begun_s = time.monotonic()
    number = connection.send(message)
    while (passed_s := time.monotonic() - begun_s) < timeout_s:
        connection.poll(timeout_s - passed_s)
        for answer in connection.take_acknowledgements():
            if answer.mid == number and not answer.accepted:
                raise BrokerError(f"the broker refuses {message.topic}: {answer.text}")
            if answer.mid == number:
                return time.monotonic() - begun_s
    raise BrokerError(f"the broker does not acknowledge {message.topic} within {timeout_s:g} s")


def publish_alerts(settings: MqttSettings, alerts: Sequence[Alert]) -> None:
    """Publish alerts in order, each after the acknowledgement of the one before.

    Raises ``ServiceUnavailableError``; the alerts after the last acknowledged one
    were then not published.
    """
    if not alerts:
        return
    topics = Topics(settings.base_topic)
    with connected(settings, "replay") as connection:
        for alert in alerts:
            message = Message(topics.alert(alert.machine), encode(alert_payload(alert)))
            send_and_wait(connection, message, settings.ack_timeout_s)
