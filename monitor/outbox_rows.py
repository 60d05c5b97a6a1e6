"""Alerts and the state of machines as rows of the outbox's tables, and back."""

from __future__ import annotations

import json
from dataclasses import dataclass

from monitor.alert_record import alert_from_dict, alert_to_dict
from monitor.domain import Alert
from monitor.errors import BadInputError
from monitor.outbox_store import StoredAlert, StoredMachine


@dataclass(slots=True)
class MachineState:
    """What is remembered of a machine: its last sequence number and its open alert."""

    last_sequence: int
    open: Alert | None = None


def to_stored_alert(alert: Alert, appended_unix_s: float) -> StoredAlert:
    """The row that keeps an alert."""
    body = json.dumps(alert_to_dict(alert), separators=(",", ":"))
    return StoredAlert(alert.event_id, alert.machine, alert.kind, appended_unix_s, body)


def to_stored_machine(name: str, state: MachineState) -> StoredMachine:
    """The row that keeps the state of a machine."""
    opened = json.dumps(alert_to_dict(state.open)) if state.open else None
    return StoredMachine(name, state.last_sequence, opened)


def parse_alert(body: object) -> Alert | None:
    """The alert in a row's JSON, or ``None`` when it does not hold one."""
    if not isinstance(body, str):
        return None
    try:
        fields = json.loads(body)
        return alert_from_dict(fields) if isinstance(fields, dict) else None
    except (ValueError, BadInputError):
        return None
