"""Payloads of other nodes: only known values of the right kind are taken over."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from monitor.clock import rfc3339
from monitor.text.escaping import one_line

_LONGEST_TEXT = 300
_MOST_WARNINGS = 20
_LARGEST = 1e12


def json_object(payload: bytes) -> dict[str, Any] | None:
    """The object in a payload; None for anything else."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _text(value: object) -> str:
    return one_line(value)[:_LONGEST_TEXT] if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < _LARGEST else None


def _time(value: object) -> str | None:
    """A time in RFC 3339; None for anything else, which a browser could not show."""
    try:
        return rfc3339(datetime.fromisoformat(str(value)).timestamp())
    except (ValueError, OverflowError, OSError):
        return None


def _state(document: Mapping[str, Any]) -> dict[str, Any]:
    warnings = document.get("warnings")
    names = [_text(one) for one in warnings[:_MOST_WARNINGS]] if isinstance(warnings, list) else []
    details = document.get("warning_details")
    muted_alerts = _number(document.get("muted_alerts"))
    return {
        **{
            key: _text(document.get(key)) or None
            for key in ("state_without_mute", "severity", "alert_id", "label")
        },
        "state": _text(document.get("state")) or "unknown",
        "reason": _text(document.get("reason")),
        "detail": _text(document.get("detail")),
        "since": _time(document.get("since")),
        "muted_until": _time(document.get("muted_until")),
        "muted_alerts": int(muted_alerts or 0),
        "acknowledged": document.get("acknowledged") is True,
        "provisional": document.get("provisional") is True,
        "warnings": [name for name in names if name],
        "warning_details": {name: _text(details.get(name)) for name in names}
        if isinstance(details, dict)
        else {},
    }


def _score(document: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("score", "ratio", "threshold", "warning_threshold", "level_dbfs")
    numbers = {key: _number(document.get(key)) for key in keys}
    return numbers | {"provisional": document.get("provisional") is True}


def _operation(document: Mapping[str, Any]) -> dict[str, Any]:
    return {"operation": _text(document.get("operation")) or None}


CLEANERS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "state": _state,
    "score": _score,
    "operation": _operation,
}
"""Kind of a topic to what is taken over of its payload."""
