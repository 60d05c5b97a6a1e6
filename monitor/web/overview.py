"""All machines in one document, the worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monitor.clock import SYSTEM_CLOCK, rfc3339
from monitor.web.texts import sentence_document

_JUDGED = frozenset({"ok", "warning", "anomaly", "muted"})
_ORDER = (
    "anomaly",
    "unavailable",
    "no_signal",
    "degraded",
    "unknown",
    "warning",
    "muted",
    "learning",
    "warming",
    "starting",
    "ok",
    "off",
)


def overview(
    daemon: Mapping[str, Any] | None,
    banners: Sequence[str],
    machines: list[dict[str, Any]],
    *,
    monitoring: str = "running",
) -> dict[str, Any]:
    """The document of ``api/overview``. ``daemon``: None if it does not answer."""
    return {
        "now": rfc3339(SYSTEM_CLOCK.unix_s()),
        "daemon": daemon,
        "monitoring": monitoring,
        "banners": [*map(sentence_document, banners)],
        "machines": sorted(machines, key=_badness),
    }


def machine_summary(machine: Mapping[str, Any], *, node: str = "") -> dict[str, Any]:
    """A machine as the overview shows it, from the daemon's status of it.

    ``node``: of a machine that another node monitors.
    """
    state: Mapping[str, Any] = machine.get("state") or {}
    score: Mapping[str, Any] = machine.get("score") or {}
    operation: Mapping[str, Any] = machine.get("operation") or {}
    alert: Mapping[str, Any] = machine.get("alert") or {}
    details = state.get("warning_details") or {}
    is_judged = state.get("state") in _JUDGED
    return {
        "id": machine["id"],
        "node": node,
        "state": state.get("state", "warming"),
        "state_without_mute": state.get("state_without_mute"),
        "reason": state.get("reason") or "",
        "detail": state.get("detail") or "",
        "operation": operation.get("operation"),
        "ratio": score.get("ratio") if is_judged else None,
        "score": score.get("score") if is_judged else None,
        "threshold": score.get("threshold"),
        "warning_threshold": score.get("warning_threshold"),
        "level_dbfs": score.get("level_dbfs") if is_judged else None,
        "since": state.get("since"),
        "severity": state.get("severity"),
        "warnings": [
            {"name": name, "detail": details.get(name) or ""} for name in state.get("warnings", ())
        ],
        "alert_id": state.get("alert_id"),
        "fault_began_at": alert.get("started_at") if state.get("alert_id") else None,
        "acknowledged": bool(state.get("acknowledged")),
        "label": state.get("label"),
        "muted_until": state.get("muted_until"),
        "muted_alerts": state.get("muted_alerts", 0),
        "mute": machine.get("mute"),
        "provisional": bool(state.get("provisional") or score.get("provisional")),
        "learning": state.get("learning"),
        "coverage": state.get("coverage"),
        "sparkline": None,
        "read_only": bool(node),
    }


def _badness(machine: Mapping[str, Any]) -> tuple[int, bool, float, str, str]:
    """The worst machine first: by state, then by ratio, then by name."""
    state = machine["state"]
    if state == "muted" and machine["state_without_mute"] == "anomaly":
        state = "warning"
    position = _ORDER.index(state) if state in _ORDER else len(_ORDER)
    if machine["alert_id"] and not machine["acknowledged"]:
        position = 0
    ratio = machine["ratio"] if machine["ratio"] is not None else 0.0
    return position, bool(machine["acknowledged"]), -ratio, machine["node"], machine["id"]
