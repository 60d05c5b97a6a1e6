"""A machine's state as it is published and logged."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from monitor.alerts import Alert
from monitor.domain import MachineWarning, SourceState, SourceStatus
from monitor.learning.learner import Learner
from monitor.mqtt.payloads import ALARM, WARNING

log = logging.getLogger(__name__)

_TROUBLES = {SourceStatus.UNAVAILABLE, SourceStatus.NO_SIGNAL, SourceStatus.DEGRADED}


def state_payload(
    state: SourceState,
    *,
    since: str,
    warnings: Sequence[MachineWarning],
    standing: Alert | None,
    coverage: Mapping[str, float],
) -> dict[str, Any]:
    """The state, without its learning. ``standing``: the alert that is open."""
    return {
        "state": state.status.value,
        "reason": state.reason,
        "detail": state.detail,
        "warnings": [one.name for one in warnings],
        "warning_details": {one.name: one.detail for one in warnings},
        "severity": _severity(state.status, is_alert_open=standing is not None),
        "since": since,
        "alert_id": standing.alert_id if standing else None,
        "coverage": dict(coverage),
    }


def learning_payload(
    learner: Learner | None, status: SourceStatus, *, is_provisional: bool
) -> dict[str, Any]:
    """What the state has in addition if the machine is learned."""
    if learner is None:
        return {}
    learning = learner.status()
    shown: dict[str, Any] = {"learning": learning, "provisional": is_provisional}
    return shown | ({"detail": learning["text"]} if status is SourceStatus.LEARNING else {})


def log_state(machine: str, state: SourceState, coverage: Mapping[str, float]) -> None:
    """Log a state that has changed; one that needs somebody's attention as a warning."""
    bad = state.status in _TROUBLES and state.reason not in {"ended", "stopped"}
    reason = {"reason": state.reason, "detail": state.detail} if state.reason else {}
    log.log(
        logging.WARNING if bad else logging.INFO,
        "state %s",
        state.status,
        extra={"machine": machine, **reason, **coverage},
    )


def _severity(status: SourceStatus, *, is_alert_open: bool) -> str | None:
    if is_alert_open or status is SourceStatus.ANOMALY:
        return ALARM
    return WARNING if status is SourceStatus.WARNING else None
