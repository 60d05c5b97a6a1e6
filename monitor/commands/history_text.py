"""The history in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from monitor.history.records import AlertRecord, Event, Minute
from monitor.text.wording import counted, duration, rounded


def local(unix_s: float) -> str:
    """A time as in the time zone of this computer: ``2026-11-23 12:15``."""
    return f"{datetime.fromtimestamp(unix_s).astimezone():%Y-%m-%d %H:%M}"


def zone(unix_s: float) -> str:
    """The time zone of this computer: ``UTC+01:00``."""
    offset = datetime.fromtimestamp(unix_s).astimezone().strftime("%z")
    return f"UTC{offset[:3]}:{offset[3:]}"


def summary(rows: Sequence[Minute], alerts: Sequence[AlertRecord]) -> str:
    """One line about the whole time."""
    if not rows:
        return "no values are stored for this time"
    highest = highest_ratio(rows, alerts)
    parts = [
        f"scored {duration(sum(row.scored_s for row in rows))}",
        f"running {duration(sum(row.running_s for row in rows))}"
        if any(row.operation is not None for row in rows)
        else "",
        f"no sound {duration(lost_s)}" if (lost_s := sum(row.lost_s for row in rows)) >= 1 else "",
        f"highest score {_ratio(highest)} x threshold" if highest is not None else "",
        counted(len(alerts), "alert"),
    ]
    return "; ".join(filter(None, parts))


def highest_ratio(rows: Sequence[Minute], alerts: Sequence[AlertRecord]) -> float | None:
    """The highest score of this time, divided by the threshold; None without a score.

    An alert is written at once and the values of its minute later, so the alerts that were raised
    in this time count too.
    """
    since_s = rows[0].start_s if rows else 0
    found = [row.ratio_max for row in rows] + [
        one.peak_ratio for one in alerts if one.raised_unix_s >= since_s
    ]
    return max((ratio for ratio in found if ratio is not None), default=None)


_RELEARN = {
    "begin": "relearning started",
    "accept": "new bundle accepted",
    "discard": "new bundle discarded",
}


def row_cells(row: Minute) -> tuple[str, ...]:
    """Time, mean and highest ratio, level, state, running and scored share."""
    total_s = row.received_s + row.lost_s
    return (
        local(row.start_s),
        _ratio(row.ratio_mean),
        _ratio(row.ratio_max),
        "" if row.level_dbfs is None else f"{row.level_dbfs:.0f} dBFS",
        row.state,
        _share(row.running_s, row.received_s) if row.operation is not None else "",
        _share(row.scored_s, total_s),
    )


def event_text(event: Event) -> str:
    """What happened, in one line without its time."""
    payload = event.payload
    by = f" by {event.user}" if event.user else ""
    note = f": {event.note}" if event.note else ""
    detail = f": {payload['detail']}" if payload.get("detail") else ""
    alert = f"alert {event.alert_id}"
    found = f"; found: {finding}" if (finding := finding_of(event)) else ""
    texts = {
        "state": f"state {event.value}{detail}",
        "operation": f"operation {event.value}",
        "raised": f"{alert} raised{_score(payload)}",
        "updated": f"{alert} updated{_score(payload)}{found}",
        "cleared": f"{alert} cleared" + (f", {event.value}" if event.value else "") + found,
        "acknowledge": f"{alert} acknowledged{by}{note}",
        "label": f"{alert} labelled {event.value}{by}{note}",
        "unmute": f"no longer muted{by}{note}",
        "bundle": f"uses bundle {event.value[:12]}",
        "learn": f"learned again{by}{note}",
        "arm": f"armed{by}{note}",
        "rollback": f"back to the previous bundle{by}{note}",
        "relearn": f"{_RELEARN.get(event.value, f'relearn {event.value}')}{by}{note}",
        "evidence": f"sound of {alert} {event.value}{note}",
    }
    if event.kind == "learn" and not event.user:
        return f"learning: {event.value}"
    if event.kind == "mute":
        return f"muted for {_seconds(event.value)}{by}{note}"
    if event.kind == "warning":
        return f"warning {event.value}" + (detail if payload.get("is_on") else " has ended")
    value = f" {event.value}" if event.value else ""
    return texts.get(event.kind, f"{event.kind}{value}{by}{note}")


def _score(alert: dict[str, Any]) -> str:
    if alert.get("reason") == "off":
        return ": the machine is off"
    ratio = alert.get("ratio")
    return f": {rounded(ratio, 3)} x threshold" if isinstance(ratio, int | float) else ""


def finding_of(event: Event) -> str:
    """The most certain finding of a diagnosis, if the message of an alert has one."""
    findings = event.payload.get("findings")
    first = findings[0] if isinstance(findings, list) and findings else None
    found = first.get("text") if isinstance(first, dict) else None
    return found if isinstance(found, str) else ""


def _seconds(text: str) -> str:
    try:
        return duration(float(text))
    except ValueError:
        return text


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _share(part_s: float, total_s: float) -> str:
    return f"{100 * part_s / total_s:.0f} %" if total_s > 0 else ""
