"""The machines as devices of Home Assistant: discovery messages, published and removed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
import secrets
import time
from collections.abc import Callable, Collection
from typing import Any, Protocol

from monitor.errors import ServiceUnavailableError
from monitor.mqtt.connection import BrokerError, Message, MqttConnection
from monitor.mqtt.dial import dial
from monitor.mqtt.payloads import encode
from monitor.mqtt.settings import MqttSettings
from monitor.mqtt.topics import ONLINE, Topics

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


ORIGIN = "Auscult"
_LEAST_EXPIRY_S = 30
_EXPIRY_INTERVALS = 5
_BIRTH_PAUSE_S = 5.0
_ONLINE_ONLY = "{{ 'online' if value == 'online' else 'offline' }}"
_JUDGED_ONLY = "{{ 'online' if value_json.state in ['ok', 'anomaly'] else 'offline' }}"
_STATES = ["warming", "ok", "anomaly", "no_signal", "degraded", "unavailable"]


class Announcer(Protocol):
    """What discovery needs of a publisher."""

    def publish_retained(self, topic: str, payload: bytes) -> None: ...
    def republish(self, prefix: str) -> None: ...
    def subscribe(self, topic: str, handler: Callable[[str, bytes], None]) -> None: ...


class Discovery:
    """Announces the machines of one daemon. Made for one publisher, before its start."""

    def __init__(self, settings: MqttSettings, announcer: Announcer, version: str) -> None:
        self._settings = settings
        self._topics = Topics(settings.base_topic)
        self._announcer = announcer
        self._version = version
        self._announced: set[str] = set()
        self._born_s = -math.inf
        announcer.subscribe(f"{settings.discovery_prefix}/status", self._on_birth)

    def announce(self, machines: Collection[str]) -> None:
        """Make these machines, and no others of this daemon, known to Home Assistant."""
        wanted = {self._topic(name): self._machine_device(name) for name in machines}
        wanted[self._topic("")] = self._daemon_device()
        for topic, device in wanted.items():
            self._announcer.publish_retained(topic, encode(device))
        for topic in self._announced - set(wanted):
            self._announcer.publish_retained(topic, b"")
        self._announced = set(wanted)

    def withdraw(self, machine: str) -> None:
        """Take this machine out of Home Assistant, whether or not this process put it there."""
        topic = self._topic(machine)
        self._announcer.publish_retained(topic, b"")
        self._announced.discard(topic)

    def _on_birth(self, _topic: str, payload: bytes) -> None:
        """Home Assistant has started. Whatever else arrives there is none of our business."""
        now_s = time.monotonic()
        if payload == ONLINE.encode() and now_s - self._born_s > _BIRTH_PAUSE_S:
            self._born_s = now_s
            self._announcer.republish(f"{self._settings.discovery_prefix}/device/")

    def _topic(self, machine: str) -> str:
        return config_topic(self._settings, machine)

    def _machine_device(self, machine: str) -> dict[str, Any]:
        unique = object_id(self._settings.base_topic, machine)
        state, score = self._topics.state(machine), self._topics.score(machine)
        interval_s = self._settings.score_interval_s
        expire_after_s = max(_LEAST_EXPIRY_S, math.ceil(_EXPIRY_INTERVALS * interval_s))
        running = {"topic": self._topics.status, "value_template": _ONLINE_ONLY}
        judged = {"topic": state, "value_template": _JUDGED_ONLY}
        components: dict[str, dict[str, Any]] = {
            "problem": {
                "platform": "binary_sensor",
                "name": "Sound",
                "device_class": "problem",
                "state_topic": state,
                "value_template": "{{ 'ON' if value_json.state == 'anomaly' else 'OFF' }}",
                "json_attributes_topic": state,
                "availability": [running, judged],
                "availability_mode": "all",
            },
            "score": {
                "platform": "sensor",
                "name": "Anomaly score",
                "icon": "mdi:waveform",
                "state_class": "measurement",
                "suggested_display_precision": 1,
                "state_topic": score,
                "value_template": "{{ value_json.score }}",
                "json_attributes_topic": score,
                "expire_after": expire_after_s,
            },
            "alert": {
                "platform": "event",
                "name": "Alert",
                "event_types": ["raised", "updated", "cleared"],
                "state_topic": self._topics.alert(machine),
                "value_template": "{{ dict(value_json, event_type=value_json.kind) | tojson }}",
            },
            "state": {
                "platform": "sensor",
                "name": "State",
                "device_class": "enum",
                "options": _STATES,
                "entity_category": "diagnostic",
                "state_topic": state,
                "value_template": "{{ value_json.state }}",
            },
            "microphone": {
                "platform": "binary_sensor",
                "name": "Microphone",
                "device_class": "problem",
                "entity_category": "diagnostic",
                "state_topic": state,
                "value_template": "{{ 'ON' if value_json.state in "
                "['no_signal', 'degraded', 'unavailable'] else 'OFF' }}",
            },
            "level": {
                "platform": "sensor",
                "name": "Level",
                "icon": "mdi:microphone",
                "unit_of_measurement": "dBFS",
                "state_class": "measurement",
                "entity_category": "diagnostic",
                "state_topic": score,
                "value_template": "{{ value_json.level_dbfs }}",
                "expire_after": expire_after_s,
            },
        }
        device = {"name": machine, "model": "Monitored machine", "via_device": self._daemon_id()}
        return self._device(unique, device, components, availability=running)

    def _daemon_device(self) -> dict[str, Any]:
        health = self._topics.health
        outbox = {
            "platform": "sensor",
            "entity_category": "diagnostic",
            "state_class": "measurement",
            "state_topic": health,
        }
        components: dict[str, dict[str, Any]] = {
            "running": {
                "platform": "binary_sensor",
                "name": "Running",
                "device_class": "running",
                "entity_category": "diagnostic",
                "state_topic": self._topics.status,
                "value_template": "{{ 'ON' if value == 'online' else 'OFF' }}",
            },
            "delivery": {
                "platform": "binary_sensor",
                "name": "Delivery",
                "device_class": "problem",
                "entity_category": "diagnostic",
                "state_topic": health,
                "value_template": "{{ 'OFF' if value_json.state == 'ok' else 'ON' }}",
                "json_attributes_topic": health,
            },
            "outbox": {
                **outbox,
                "name": "Outbox",
                "value_template": "{{ value_json.outbox.depth }}",
            },
            "dropped": {
                **outbox,
                "name": "Dropped alerts",
                "state_class": "total_increasing",
                "value_template": "{{ value_json.outbox.dropped.values() | sum }}",
            },
        }
        device = {"name": f"{ORIGIN} {self._settings.base_topic}", "model": "Monitor"}
        return self._device(self._daemon_id(), device, components)

    def _daemon_id(self) -> str:
        return object_id(self._settings.base_topic, "")

    def _device(
        self,
        unique: str,
        device: dict[str, Any],
        components: dict[str, dict[str, Any]],
        availability: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        for key, component in components.items():
            component["unique_id"] = f"{unique}_{key}"
            if availability is not None:
                component.setdefault("availability", [availability])
        return {
            "device": {
                "identifiers": [unique],
                "manufacturer": ORIGIN,
                "sw_version": self._version,
                **device,
            },
            "origin": {"name": ORIGIN, "sw_version": self._version},
            "components": components,
            "qos": 1,
        }


def config_topic(settings: MqttSettings, machine: str) -> str:
    """Where the device of a machine is announced, or with an empty name the daemon's."""
    unique = object_id(settings.base_topic, machine)
    return f"{settings.discovery_prefix}/device/{unique}/config"


def object_id(base_topic: str, machine: str) -> str:
    """A name that Home Assistant accepts: the daemon's, or that of one of its machines.

    Readable, and kept apart from others that read the same by a digest. All those of
    one daemon begin with the name of the daemon.
    """
    daemon = f"auscult_{_digest(base_topic)}"
    return f"{daemon}_{_slug(machine)}_{_digest(machine)}" if machine else daemon


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
