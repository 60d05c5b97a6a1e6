"""Removing the devices of a daemon from Home Assistant."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Collection

from monitor.mqtt.connection import MqttConnection
from monitor.mqtt.home_assistant_devices import ORIGIN
from monitor.mqtt.home_assistant_names import config_topic, object_id
from monitor.mqtt.messages import Message
from monitor.mqtt.one_shot import connected, send_and_wait
from monitor.mqtt.settings import MqttSettings

_QUIET_S = 0.5


def remove_discovery(
    settings: MqttSettings, machines: Collection[str] = (), timeout_s: float = 10.0
) -> list[str]:
    """Remove every retained discovery message of this ``base_topic``; the removed topics.

    These are the messages that the broker's access list lets this client read, also
    those of machines that are no longer configured, and in any case those of
    ``machines`` and of their daemon. Raises ``ServiceUnavailableError`` when the broker
    cannot be reached or refuses.
    """
    with connected(settings, "remove") as connection:
        found = _find(connection, settings, time.monotonic() + timeout_s)
        own = ("", *machines) if machines else ()
        topics = sorted(found | {config_topic(settings, name) for name in own})
        for topic in topics:
            send_and_wait(connection, Message(topic, b"", retain=True), timeout_s)
    return topics


def _find(connection: MqttConnection, settings: MqttSettings, deadline_s: float) -> set[str]:
    """The broker sends retained messages at once: after a quiet moment there are no more."""
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


def _is_ours(payload: bytes) -> bool:
    with contextlib.suppress(ValueError, RecursionError, LookupError, TypeError):
        return bool(json.loads(payload)["origin"]["name"] == ORIGIN)
    return False
