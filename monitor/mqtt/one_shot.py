"""A connection for the length of one command, beside that of a running daemon."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from monitor.alerts import Alert
from monitor.errors import ServiceUnavailableError
from monitor.mqtt.alert_sender import fitting_alert
from monitor.mqtt.connection import MqttConnection
from monitor.mqtt.messages import OUTLIVED_S, BrokerError, Message, TopicRefusedError
from monitor.mqtt.protocol_choice import connect
from monitor.mqtt.settings import MqttSettings
from monitor.mqtt.topics import Topics

_MAX_CLIENT_ID_BYTES = 23  # what every MQTT 3.1.1 broker accepts


@contextmanager
def connected(
    settings: MqttSettings, command: str, last_will: Message | None = None
) -> Iterator[MqttConnection]:
    """A connection with a client id of its own.

    With the daemon's client id the broker would disconnect the daemon. Raises
    ``ServiceUnavailableError`` for every ``BrokerError``, also inside the block, and
    ``ConfigError`` for a password or certificate file that cannot be read.
    """
    client_id = f"auscult-{command}-{secrets.token_hex(8)}"[:_MAX_CLIENT_ID_BYTES]
    try:
        connection = connect(settings.model_copy(update={"client_id": client_id}), last_will)
        try:
            yield connection
        finally:
            connection.close(orderly=True)
    except BrokerError as error:
        raise ServiceUnavailableError(str(error)) from error


def send_and_wait(connection: MqttConnection, message: Message, timeout_s: float) -> float:
    """Send a QoS 1 message; the seconds until the broker acknowledged it.

    Raises ``BrokerError`` when it is too large, or when the broker refuses it, closes the
    connection or does not answer in time.
    """
    if not connection.fits(message):
        raise BrokerError(
            f"{message.topic}: {connection.packet_bytes(message)} bytes, and the broker "
            f"accepts at most {connection.limits.max_packet_bytes}"
        )
    begun_s = time.monotonic()
    mid = connection.send(message)
    while (passed_s := time.monotonic() - begun_s) < timeout_s:
        _poll(connection, timeout_s - passed_s, message.topic)
        for answer in connection.take_acknowledgements():
            if answer.mid != mid:
                continue
            if not answer.accepted:
                raise TopicRefusedError(
                    f"{message.topic}: refused by the broker: {answer.text}; "
                    "check the broker's access list"
                )
            took_s = time.monotonic() - begun_s
            if connection.is_311:
                _outlive(connection, message.topic)
            return took_s
    raise BrokerError(f"{message.topic}: not acknowledged by the broker within {timeout_s:.3g} s")


def _outlive(connection: MqttConnection, topic: str) -> None:
    """Wait until the acknowledgement counts: MQTT 3.1.1 has no negative answers."""
    counts_s = time.monotonic() + OUTLIVED_S
    while (left_s := counts_s - time.monotonic()) > 0:
        _poll(connection, left_s, topic)


def _poll(connection: MqttConnection, timeout_s: float, topic: str) -> None:
    try:
        connection.poll(timeout_s)
    except BrokerError as error:
        if not error.closed:
            raise
        why = f"{topic}: {error} after this message; the broker may refuse the topic"
        raise BrokerError(why, closed=True) from error


def publish_alerts(settings: MqttSettings, alerts: Sequence[Alert]) -> None:
    """Publish alerts in order, each after the acknowledgement of the one before.

    Raises ``ServiceUnavailableError``; the alerts after the last acknowledged one are
    then not published.
    """
    if not alerts:
        return
    topics = Topics(settings.base_topic)
    with connected(settings, "replay") as connection:
        for alert in alerts:
            topic = topics.alert(alert.machine)
            message, _ = fitting_alert(alert, topic, connection.fits)
            if message is None:
                raise BrokerError(f"{topic}: the short form of an alert is too large too")
            send_and_wait(connection, message, settings.ack_timeout_s)
