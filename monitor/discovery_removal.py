"""Taking a daemon's devices out of Home Assistant again."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Collection

from monitor.discovery import ORIGIN, config_topic, object_id
from monitor.errors import ServiceUnavailableError
from monitor.mqtt_connection import BrokerError, Message, MqttConnection
from monitor.mqtt_dial import dial
from monitor.mqtt_settings import MqttSettings

_QUIET_S = 0.5


def remove_discovery(
    settings: MqttSettings, machines: Collection[str] = (), timeout_s: float = 10.0
) -> list[str]:
    """Remove every retained discovery message of this ``base_topic``; the topics cleared.

    Also those of machines that are no longer configured, as far as the broker's access
    list lets them be seen; those of ``machines`` and of their daemon in any case. Raises
    ``ServiceUnavailableError`` when the broker is out of reach or refuses.
    """
    client_id = f"auscult-remove-{secrets.token_hex(4)}"
    try:
        connection = dial(settings.model_copy(update={"client_id": client_id}))
        try:
            deadline_s = time.monotonic() + timeout_s
            found = _find(connection, settings, deadline_s)
            own = ("", *machines) if machines else ()
            topics = sorted(found | {config_topic(settings, name) for name in own})
            _clear(connection, topics, deadline_s)
        finally:
            connection.close(orderly=True)
    except BrokerError as error:
        raise ServiceUnavailableError(str(error)) from error
    return topics


def _find(connection: MqttConnection, settings: MqttSettings, deadline_s: float) -> set[str]:
    """Retained messages come at once; when none has come for a while that was all."""
    connection.subscribe(f"{settings.discovery_prefix}/device/+/config")
    beginning = f"{settings.discovery_prefix}/device/{object_id(settings.base_topic, '')}"
    found: set[str] = set()
    quiet_by_s = time.monotonic() + _QUIET_S
    while time.monotonic() < min(quiet_by_s, deadline_s):
        connection.poll(quiet_by_s - time.monotonic())
        for message in connection.take_incoming():
            quiet_by_s = time.monotonic() + _QUIET_S
            if message.topic.startswith(beginning) and _is_ours(message.payload):
                found.add(message.topic)
    return found


def _clear(connection: MqttConnection, topics: list[str], deadline_s: float) -> None:
    waiting = {connection.send(Message(topic, b"", retain=True)): topic for topic in topics}
    while waiting:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise ServiceUnavailableError("the broker does not acknowledge the removal")
        connection.poll(left_s)
        for answer in connection.take_acknowledgements():
            topic = waiting.pop(answer.mid, "")
            if not answer.accepted:
                raise ServiceUnavailableError(f"the broker refuses {topic}: {answer.text}")


def _is_ours(payload: bytes) -> bool:
    with contextlib.suppress(ValueError, RecursionError, LookupError, TypeError):
        return bool(json.loads(payload)["origin"]["name"] == ORIGIN)
    return False
