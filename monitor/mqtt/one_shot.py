"""A connection for the length of one command, beside that of a running daemon."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from monitor.alerts import Alert
from monitor.errors import ConfigError, ServiceUnavailableError
from monitor.mqtt.connect import connect
from monitor.mqtt.connection import MqttConnection
from monitor.mqtt.messages import BrokerError, Message
from monitor.mqtt.payloads import alert_payload, encode
from monitor.mqtt.settings import MqttSettings
from monitor.mqtt.topics import Topics

_MAX_CLIENT_ID_BYTES = 23  # what every MQTT 3.1.1 broker accepts


@contextmanager
def connected(settings: MqttSettings, command: str) -> Iterator[MqttConnection]:
    """A connection with a client id of its own.

    With the daemon's client id the broker would disconnect the daemon. Raises
    ``ServiceUnavailableError`` for every ``BrokerError``, also inside the block, and
    ``ConfigError`` for a password or certificate file that cannot be read.
    """
    client_id = f"auscult-{command}-{secrets.token_hex(8)}"[:_MAX_CLIENT_ID_BYTES]
    try:
        connection = connect(settings.model_copy(update={"client_id": client_id}))
        try:
            yield connection
        finally:
            connection.close(orderly=True)
    except BrokerError as error:
        raise ServiceUnavailableError(str(error)) from error


def send_and_wait(connection: MqttConnection, message: Message, timeout_s: float) -> float:
    """Send a QoS 1 message; the seconds until the broker acknowledged it.

    Raises ``BrokerError`` when the broker refuses it or does not answer in time.
    """
    begun_s = time.monotonic()
    mid = connection.send(message)
    while (passed_s := time.monotonic() - begun_s) < timeout_s:
        connection.poll(timeout_s - passed_s)
        for answer in connection.take_acknowledgements():
            if answer.mid != mid:
                continue
            if not answer.accepted:
                raise BrokerError(
                    f"{message.topic}: refused by the broker: {answer.text}; "
                    "check the broker's access list"
                )
            return time.monotonic() - begun_s
    raise BrokerError(f"{message.topic}: not acknowledged by the broker within {timeout_s:.3g} s")


@dataclass(frozen=True, slots=True)
class ProbeLine:
    """One check and its result."""

    ok: bool
    text: str


def probe(settings: MqttSettings, timeout_s: float = 10.0) -> list[ProbeLine]:
    """Connect, and publish a message on ``BASE/selftest`` that the broker must acknowledge."""
    limit_s = min(settings.connect_timeout_s, timeout_s)
    topic = Topics(settings.base_topic).selftest
    lines: list[ProbeLine] = []
    try:
        with connected(settings.model_copy(update={"connect_timeout_s": limit_s}), "test") as it:
            how = f"connected with {it.protocol_name}{' over TLS' if settings.tls else ''}"
            lines.append(ProbeLine(True, f"broker {settings.host}:{settings.port}: {how}"))
            took_s = send_and_wait(it, Message(topic, b'{"selftest":true}'), timeout_s)
            lines.append(ProbeLine(True, f"{topic}: acknowledged in {took_s * 1000:.0f} ms"))
    except (ServiceUnavailableError, ConfigError) as error:
        lines.append(ProbeLine(False, str(error)))
    return lines


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
            message = Message(topics.alert(alert.machine), encode(alert_payload(alert)))
            send_and_wait(connection, message, settings.ack_timeout_s)
