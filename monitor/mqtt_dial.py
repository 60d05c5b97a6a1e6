"""Reaching a broker with the newest protocol that it speaks, and trying whether it can be done."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from monitor.errors import ConfigError
from monitor.mqtt_connection import MQTT_5, MQTT_311, BrokerError, Message, MqttConnection
from monitor.mqtt_settings import MqttSettings
from monitor.topics import Topics


def dial(
    settings: MqttSettings,
    last_will: Message | None = None,
    *,
    only_311: bool = False,
    give_up: Callable[[], bool] = lambda: False,
) -> MqttConnection:
    """Connect with the configured protocol; ``auto``: MQTT 5, or 3.1.1 where that fails.

    ``only_311``: with ``auto`` do not even try MQTT 5. Raises as ``MqttConnection.open``.
    """
    first_5 = settings.protocol == "5" or (settings.protocol == "auto" and not only_311)
    if not first_5:
        return MqttConnection.open(settings, MQTT_311, last_will, give_up)
    try:
        return MqttConnection.open(settings, MQTT_5, last_will, give_up)
    except BrokerError as error:
        if settings.protocol == "5" or not error.wrong_protocol or give_up():
            raise
    return MqttConnection.open(settings, MQTT_311, last_will, give_up)


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
