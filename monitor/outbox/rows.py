"""Alerts and series as rows of the outbox's tables."""

from __future__ import annotations

import json
from dataclasses import dataclass

from monitor.alerts import Alert, AlertSeries, alert_from_json, alert_to_dict
from monitor.errors import BadInputError


@dataclass(frozen=True, slots=True)
class StoredMachine:
    """A row of ``machines``; ``open_alert`` is JSON or ``None``."""

    machine: str
    last_sequence: int
    open_alert: str | None


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """A row of ``alerts`` without its position; ``body`` is the alert's JSON."""

    event_id: str
    machine: str
    kind: str
    appended_unix_s: float
    body: str


def to_stored_alert(alert: Alert, appended_unix_s: float) -> StoredAlert:
    """The row of an alert."""
    body = json.dumps(alert_to_dict(alert), separators=(",", ":"))
    return StoredAlert(alert.event_id, alert.machine, alert.kind, appended_unix_s, body)


def to_stored_machine(name: str, series: AlertSeries) -> StoredMachine:
    """The row of the series of a machine."""
    opened = json.dumps(alert_to_dict(series.open)) if series.open else None
    return StoredMachine(name, series.last_sequence, opened)


def parse_alert(body: object) -> Alert | None:
    """The alert in a row's JSON, or ``None`` when the row does not hold one."""
    if not isinstance(body, str):
        return None
    try:
        return alert_from_json(body)
    except BadInputError:
        return None
