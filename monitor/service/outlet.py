"""Where the results of a machine go."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from monitor.alerts import Alert, AlertDraft

log = logging.getLogger(__name__)


class Outlet(Protocol):
    """Where a machine's results go; every method may be called from any thread."""

    def open_alert(self, machine: str) -> Alert | None:
        """The alert that is raised now, possibly since before a restart."""

    def alert(self, draft: AlertDraft) -> Alert | None:
        """Write an alert to the outbox, which sends it; ``None`` if the machine is muted."""

    def state(self, machine: str, payload: dict[str, Any]) -> None:
        """Publish the machine's state."""

    def operation(self, machine: str, payload: dict[str, Any]) -> None:
        """Publish whether the machine runs."""

    def score(self, machine: str, payload: dict[str, Any]) -> None:
        """Publish the newest score."""


def send_alert(outlet: Outlet, draft: AlertDraft) -> None:
    """Give an alert to the outlet, and log it unless the machine is muted."""
    alert = outlet.alert(draft)
    if alert is None:
        return
    bands = {"bands_hz": alert.bands_hz} if alert.bands_hz else {}
    log.log(
        logging.INFO if alert.kind == "updated" else logging.WARNING,
        "alert %s",
        alert.kind,
        extra={
            "machine": alert.machine,
            "alert_id": alert.alert_id,
            "score": round(alert.score, 3),
            "threshold": round(alert.threshold, 3),
            **({"reason": alert.reason} if alert.reason else {}),
            **bands,
        },
    )
