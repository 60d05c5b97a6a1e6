"""Sensors of a machine in Home Assistant: its score beside the thresholds, and its operation."""

from __future__ import annotations

from typing import Any


def threshold_sensors(score: str, expire_after_s: int) -> dict[str, dict[str, Any]]:
    """The score in percent of the alarm threshold, and both thresholds. ``score``: its topic."""
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


def operation_sensors(topic: str) -> dict[str, dict[str, Any]]:
    """Whether the machine runs, and how much it has. ``topic``: that of the operation."""
    counter = {"platform": "sensor", "state_topic": topic, "state_class": "total_increasing"}
    return {
        "running": {
            "platform": "binary_sensor",
            "name": "Running",
            "device_class": "running",
            "state_topic": topic,
            "value_template": "{{ 'ON' if value_json.operation in ['running', 'idle'] "
            "else 'OFF' }}",
            "json_attributes_topic": topic,
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
