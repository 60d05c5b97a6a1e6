"""Published payloads as JSON. ``monitor/schemas`` contains the JSON Schema of each payload."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from monitor.alerts import Alert, alert_to_dict
from monitor.text.escaping import json_text

SCHEMAS = ("status", "info", "health", "state", "operation", "score", "alert")

WARNING, ALARM = "warning", "alarm"
"""Severities. A warning is a state only: there is no alert for it."""

SCHEMA_VERSION = 1
"""Changes if a field is removed or changes its meaning; new fields do not change it."""


def encode(payload: Mapping[str, Any]) -> bytes:
    """Compact UTF-8 JSON. Raises ``ValueError`` for NaN and infinity, which JSON does not have."""
    return json_text(payload).encode()


def alert_payload(alert: Alert) -> dict[str, Any]:
    """``BASE/<machine>/alert``: the alert, its severity, and its ratio.

    The ratio is 1.0 at the threshold of any machine. Without a ratio if a damaged row of the outbox
    has a threshold that allows none.
    """
    payload = alert_to_dict(alert) | {"severity": ALARM}
    ratio = alert.score / alert.threshold if alert.threshold > 0 else math.inf
    return payload | {"ratio": ratio} if math.isfinite(ratio) else payload


def short_alert_payloads(alert: Alert) -> Iterator[dict[str, Any]]:
    """Shorter and shorter forms of ``alert_payload``, for a broker that limits the packet size.

    They are marked with ``"short": true``. Each one has fewer of the fields that a
    subscriber can do without. The last one has no ``machine``, which is in the topic.
    """
    payload = alert_payload(alert) | {"short": True}
    optional = [key for key in _LEFT_OUT_IF_SHORT if key in payload]
    if not alert.replayed:
        optional.append("replayed")
    for key in [*optional, "machine"]:
        del payload[key]
        yield dict(payload)


_LEFT_OUT_IF_SHORT = (
    "findings",
    "evidence",
    "severity",
    "provisional",
    "bundle_sha256",
    "false_alarms_per_week",
    "loss",
    "channel",
    "span_s",
    "ratio",
    "bands_hz",
    "peak_score",
    "started_at",
    "threshold",
    "score",
    "reason",
)
"""The fields of an alert that its short form leaves out, in this order, until it fits."""


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

    ``delivery`` also has ``refusal``: the topics that the broker refuses, or an empty text,
    and ``limits``: what the broker restricts, or an empty text.
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
