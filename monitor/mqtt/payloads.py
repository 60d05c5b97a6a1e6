"""Published payloads as JSON. ``monitor/schemas`` contains the JSON Schema of each payload."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from monitor.alerts import Alert, alert_to_dict
from monitor.text.escaping import json_text

SCHEMAS = ("status", "info", "health", "state", "score", "alert")

SCHEMA_VERSION = 1
"""Changes if a field is removed or changes its meaning; new fields do not change it."""


def encode(payload: Mapping[str, Any]) -> bytes:
    """Compact UTF-8 JSON. Raises ``ValueError`` for NaN and infinity, which JSON does not have."""
    return json_text(payload).encode()


def alert_payload(alert: Alert) -> dict[str, Any]:
    """``BASE/<machine>/alert``."""
    return alert_to_dict(alert)


def info_payload(
    *, version: str, started_at: str, machines: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """``BASE/info``; each machine has at least ``id`` and ``bundle_sha256``."""
    return {
        "schema_version": SCHEMA_VERSION,
        "version": version,
        "started_at": started_at,
        "machines": [dict(machine) for machine in machines],
    }


def health_payload(outbox: Mapping[str, Any], delivery: Mapping[str, Any]) -> dict[str, Any]:
    """``BASE/health``: the fields of ``OutboxHealth`` and of ``DeliveryCounts``.

    ``delivery`` also has ``refusal``: the topics that the broker refuses, or an empty text.
    """
    degraded = outbox["state"] != "ok" or delivery["refusal"]
    return {
        "schema_version": SCHEMA_VERSION,
        "state": "degraded" if degraded else "ok",
        "outbox": dict(outbox),
        "delivery": dict(delivery),
    }


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a payload, one of ``SCHEMAS``."""
    text = (files("monitor") / "schemas" / f"{name}.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document
