"""The row of each alert: what its messages state and operators note, together."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from monitor.clock import moved_rfc3339
from monitor.history.records import ALERT_KINDS, Event
from monitor.text.json_objects import json_object


def update_alert(connection: sqlite3.Connection, event: Event, payload: str) -> None:
    """Add a new event to the row of its alert. ``payload``: of the event, as JSON.

    Call it in a transaction. Most kinds of events change nothing.
    """
    if event.kind in ALERT_KINDS:
        _add_message(connection, event, payload)
    elif event.kind == "acknowledge":
        connection.execute(
            "UPDATE alerts SET acknowledged = 1, note = iif(? != '', ?, note) WHERE alert_id = ?",
            (event.note, event.note, event.alert_id),
        )
    elif event.kind == "label":
        connection.execute(
            "UPDATE alerts SET label = ?, note = iif(? != '', ?, note) WHERE alert_id = ?",
            (event.value, event.note, event.note, event.alert_id),
        )


def _add_message(connection: sqlite3.Connection, event: Event, payload: str) -> None:
    is_cleared = event.kind == "cleared"
    newest = _newest_message(connection, event.alert_id)
    if _is_late(newest, event):
        _add_late(connection, event)
        return
    if event.kind != "raised" and (set_by_s := _set_since_s(newest, event)):
        _move_beginning(connection, event.alert_id, set_by_s)
    connection.execute(
        "INSERT INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, '', '', ?)"
        " ON CONFLICT (alert_id) DO UPDATE SET cleared_at = excluded.cleared_at,"
        " cleared_unix_s = excluded.cleared_unix_s, payload = excluded.payload,"
        " n_updates = n_updates + excluded.n_updates,"
        " peak_ratio = max(coalesce(peak_ratio, excluded.peak_ratio),"
        " coalesce(excluded.peak_ratio, peak_ratio))",
        (
            *(event.alert_id, event.machine, event.at, event.at_unix_s),
            *((event.at, event.at_unix_s) if is_cleared else (None, None)),
            *(_peak_ratio(event.payload), int(event.kind == "updated"), payload),
        ),
    )


def _newest_message(connection: sqlite3.Connection, alert_id: str) -> Mapping[str, Any]:
    """The newest message of an alert; empty without one."""
    query = "SELECT payload FROM alerts WHERE alert_id = ?"
    row = connection.execute(query, (alert_id,)).fetchone()
    try:
        return {} if row is None else json_object(row[0])
    except ValueError:  # a damaged row
        return {}


def _is_late(newest: Mapping[str, Any], event: Event) -> bool:
    """Whether a later message of the alert is there: the disk refused this one at first."""
    known, sequence = newest.get("sequence"), event.payload.get("sequence")
    return isinstance(known, int) and isinstance(sequence, int) and sequence < known


def _set_since_s(newest: Mapping[str, Any], event: Event) -> float:
    """By how much the system clock was set since the message before: the beginning was moved."""
    try:
        before, now = (
            datetime.fromisoformat(one["started_at"]).timestamp() for one in (newest, event.payload)
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0.0
    return now - before


def _move_beginning(connection: sqlite3.Connection, alert_id: str, by_s: float) -> None:
    """Otherwise an alert of a clock that was years ahead would be in no list for years."""
    query = "SELECT raised_at, raised_unix_s FROM alerts WHERE alert_id = ?"
    raised_at, raised_unix_s = connection.execute(query, (alert_id,)).fetchone()
    connection.execute(
        "UPDATE alerts SET raised_at = ?, raised_unix_s = ? WHERE alert_id = ?",
        (moved_rfc3339(raised_at, by_s), raised_unix_s + by_s, alert_id),
    )


def _add_late(connection: sqlite3.Connection, event: Event) -> None:
    """Add what a message states that a later one does not: the row stays that of the later."""
    if event.kind == "updated":
        connection.execute(
            "UPDATE alerts SET n_updates = n_updates + 1 WHERE alert_id = ?", (event.alert_id,)
        )
    elif event.kind == "raised":
        connection.execute(
            "UPDATE alerts SET raised_at = ?, raised_unix_s = ?"
            " WHERE alert_id = ? AND raised_unix_s > ?",
            (event.at, event.at_unix_s, event.alert_id, event.at_unix_s),
        )


def _peak_ratio(alert: Mapping[str, Any]) -> float | None:
    """The highest score of an alert divided by its threshold; None if it is not about a score."""
    peak, threshold = alert.get("peak_score"), alert.get("threshold")
    if not isinstance(peak, int | float) or not isinstance(threshold, int | float):
        return None
    if alert.get("reason") == "off" or not threshold > 0:
        return None
    ratio = float(peak) / float(threshold)
    return ratio if math.isfinite(ratio) else None
