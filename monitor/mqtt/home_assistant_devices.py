"""The machines and the daemon as devices of Home Assistant: what discovery messages contain."""

from __future__ import annotations

import math
from typing import Any

from monitor.mqtt.home_assistant_names import object_id
from monitor.mqtt.home_assistant_sensors import operation_sensors, threshold_sensors
from monitor.mqtt.settings import MqttSettings
from monitor.mqtt.topics import Topics

ORIGIN = "Auscult"
_LEAST_EXPIRY_S = 30
_EXPIRY_INTERVALS = 5
_ONLINE_ONLY = "{{ 'online' if value == 'online' else 'offline' }}"
_JUDGED = ["ok", "warning", "anomaly", "muted", "off"]
_BLIND = ["no_signal", "degraded", "unavailable"]
_STATES = ["learning", "warming", *_JUDGED, *_BLIND]
_JUDGED_ONLY = f"{{{{ 'online' if value_json.state in {_JUDGED} else 'offline' }}}}"


class Devices:
    """The devices of one daemon. ``version``: that of the program."""

    def __init__(self, settings: MqttSettings, version: str) -> None:
        self._version = version
        self._settings = settings
        self._topics = Topics(settings.base_topic)

    def machine(self, machine: str) -> dict[str, Any]:
        """The device of a machine."""
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
        components |= threshold_sensors(score, expire_after_s)
        components |= operation_sensors(self._topics.operation(machine))
        # Home Assistant removes an entity of which nothing but the platform is left.
        components["picture"] = {"platform": "image"}
        if self._settings.publish_picture:
            image = {"image_topic": self._topics.picture(machine), "content_type": "image/png"}
            components["picture"] |= {"name": "Alert picture", **image}
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

    def daemon(self) -> dict[str, Any]:
        """The device of the daemon."""
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
            if component.keys() == {"platform"}:
                continue
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
