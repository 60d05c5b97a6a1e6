"""A connection to the broker beside the daemon's, for commands."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from monitor.alerts import Alert
from monitor.errors import ConfigError, ServiceUnavailableError
from monitor.mqtt.connection import BrokerError, Message, MqttConnection
from monitor.mqtt.dial import dial
from monitor.mqtt.payloads import alert_payload, encode
from monitor.mqtt.settings import MqttSettings
from monitor.mqtt.topics import Topics


@dataclass(frozen=True, slots=True)
class ProbeLine:
    """One thing that was tried, and how it went."""

    ok: bool
    text: str


def probe(settings: MqttSettings, timeout_s: float = 10.0) -> list[ProbeLine]:
    """Connect beside a running daemon and have a message on ``BASE/selftest`` acknowledged."""
    broker = f"broker {settings.host}:{settings.port}"
    # A name of its own: with the daemon's the broker would disconnect the daemon.
    client_id = f"auscult-test-{secrets.token_hex(5)}"
    limit_s = min(settings.connect_timeout_s, timeout_s)
    mine = settings.model_copy(update={"client_id": client_id, "connect_timeout_s": limit_s})
    try:
        connection = dial(mine)
    except (BrokerError, ConfigError) as error:
        return [ProbeLine(ok=False, text=str(error))]
    tls = " over TLS" if settings.tls else ""
    lines = [ProbeLine(ok=True, text=f"{broker}: connected with {connection.protocol_name}{tls}")]
    try:
        lines.append(_publish(connection, Topics(settings.base_topic).selftest, timeout_s))
    except BrokerError as error:
        lines.append(ProbeLine(ok=False, text=str(error)))
    finally:
        connection.close(orderly=True)
    return lines


def _publish(connection: MqttConnection, topic: str, timeout_s: float) -> ProbeLine:
    begun_s = time.monotonic()
    mid = connection.send(Message(topic, b'{"selftest":true}'))
    while (left_s := begun_s + timeout_s - time.monotonic()) > 0:
        connection.poll(left_s)
        for answer in connection.take_acknowledgements():
            if answer.mid == mid and answer.accepted:
                took_ms = (time.monotonic() - begun_s) * 1000
                return ProbeLine(ok=True, text=f"{topic}: acknowledged in {took_ms:.0f} ms")
            if answer.mid == mid:
                reason = f"{topic}: refused: {answer.text}; check the broker's access list"
                return ProbeLine(ok=False, text=reason)
    return ProbeLine(ok=False, text=f"{topic}: not acknowledged within {timeout_s:g} s")


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
