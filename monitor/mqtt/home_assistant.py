"""The machines as devices of Home Assistant: the discovery messages."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Callable, Collection
from typing import Any, Protocol

from monitor.mqtt.payloads import encode
from monitor.mqtt.settings import MqttSettings
from monitor.mqtt.topics import ONLINE, Topics

ORIGIN = "Auscult"
_LEAST_EXPIRY_S = 30
_EXPIRY_INTERVALS = 5
_BIRTH_PAUSE_S = 5.0
_ONLINE_ONLY = "{{ 'online' if value == 'online' else 'offline' }}"
_JUDGED = ["ok", "warning", "anomaly", "muted", "off"]
_BLIND = ["no_signal", "degraded", "unavailable"]
_STATES = ["learning", "warming", *_JUDGED, *_BLIND]
_JUDGED_ONLY = f"{{{{ 'online' if value_json.state in {_JUDGED} else 'offline' }}}}"


class Announcer(Protocol):
    """The part of a publisher that discovery uses."""

    def publish_retained(self, topic: str, payload: bytes) -> None: ...
    def republish(self, prefix: str) -> None: ...
    def subscribe(self, topic: str, handler: Callable[[str, bytes], None]) -> None: ...


class Discovery:
    """Announces the machines of one daemon. Create it before the publisher is started."""

    def __init__(self, settings: MqttSettings, announcer: Announcer, version: str) -> None:
        self._settings = settings
        self._topics = Topics(settings.base_topic)
        self._announcer = announcer
        self._version = version
        self._announced: set[str] = set()
        self._born_s = -math.inf
        announcer.subscribe(f"{settings.discovery_prefix}/status", self._on_birth)

    def announce(self, machines: Collection[str]) -> None:
        """Announce exactly these machines of this daemon."""
        wanted = {self._topic(name): self._machine_device(name) for name in machines}
        wanted[self._topic("")] = self._daemon_device()
        for topic, device in wanted.items():
            self._announcer.publish_retained(topic, encode(device))
        for topic in self._announced - set(wanted):
            self._announcer.publish_retained(topic, b"")
        self._announced = set(wanted)

    def withdraw(self, machine: str) -> None:
        """Remove this machine from Home Assistant, also if an earlier process announced it."""
        topic = self._topic(machine)
        self._announcer.publish_retained(topic, b"")
        self._announced.discard(topic)

    def _on_birth(self, _topic: str, payload: bytes) -> None:
        """Announce again when Home Assistant has started; ignore all other messages."""
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
                "value_template": f"{{{{ 'ON' if value_json.state in {_BLIND} else 'OFF' }}}}",
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
        components |= self._threshold_sensors(score, expire_after_s)
        components |= self._operation_sensors(machine)
        components["warnings"] = {
            "platform": "binary_sensor",
            "name": "Warnings",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "state_topic": state,
            "value_template": "{{ 'ON' if value_json.warnings else 'OFF' }}",
            "json_attributes_topic": state,
            "json_attributes_template": "{{ value_json.warning_details | default({}) | tojson }}",
        }
        components["learning"] = {
            "platform": "sensor",
            "name": "Learning",
            "icon": "mdi:school",
            "unit_of_measurement": "%",
            "entity_category": "diagnostic",
            "state_topic": state,
            "value_template": "{{ (value_json.learning | default({})).percent | default(100) }}",
            "json_attributes_topic": state,
            "json_attributes_template": "{{ value_json.learning | default({}) | tojson }}",
        }
        device = {"name": machine, "model": "Monitored machine", "via_device": self._daemon_id()}
        return self._device(unique, device, components, availability=running)

    def _threshold_sensors(self, score: str, expire_after_s: int) -> dict[str, dict[str, Any]]:
        """The score in percent of the alarm threshold, and both thresholds."""
        sensor = {
            "platform": "sensor",
            "state_topic": score,
            "state_class": "measurement",
            "suggested_display_precision": 1,
        }
        diagnostic = {**sensor, "entity_category": "diagnostic", "icon": "mdi:speedometer"}
        return {
            "ratio": {
                **sensor,
                "name": "Relative score",
                "icon": "mdi:gauge",
                "unit_of_measurement": "%",
                "suggested_display_precision": 0,
                "value_template": "{{ value_json.ratio * 100 }}",
                "expire_after": expire_after_s,
            },
            "threshold": {
                **diagnostic,
                "name": "Alarm threshold",
                "value_template": "{{ value_json.threshold }}",
            },
            "warning_threshold": {
                **diagnostic,
                "name": "Warning threshold",
                "value_template": "{{ value_json.warning_threshold }}",
            },
        }

    def _operation_sensors(self, machine: str) -> dict[str, dict[str, Any]]:
        """Whether the machine runs, and how much it has."""
        operation = self._topics.operation(machine)
        counter = {
            "platform": "sensor",
            "state_topic": operation,
            "state_class": "total_increasing",
        }
        return {
            "running": {
                "platform": "binary_sensor",
                "name": "Running",
                "device_class": "running",
                "state_topic": operation,
                "value_template": "{{ 'ON' if value_json.operation in ['running', 'idle'] "
                "else 'OFF' }}",
                "json_attributes_topic": operation,
            },
            "running_hours": {
                **counter,
                "name": "Running time",
                "device_class": "duration",
                "unit_of_measurement": "h",
                "suggested_display_precision": 1,
                "value_template": "{{ value_json.running_s / 3600 }}",
            },
            "starts": {
                **counter,
                "name": "Starts",
                "icon": "mdi:restart",
                "value_template": "{{ value_json.starts }}",
            },
        }

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
    """The topic of a machine's discovery message; of the daemon's with an empty name."""
    unique = object_id(settings.base_topic, machine)
    return f"{settings.discovery_prefix}/device/{unique}/config"


def object_id(base_topic: str, machine: str) -> str:
    """A unique name that Home Assistant accepts: of a machine, or of the daemon if it is empty.

    It contains the machine's id and a digest, because two ids may differ only in
    characters that Home Assistant does not accept. All names of one daemon begin with
    the name of the daemon.
    """
    daemon = f"auscult_{_digest(base_topic)}"
    return f"{daemon}_{_slug(machine)}_{_digest(machine)}" if machine else daemon


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
