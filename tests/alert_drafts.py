"""Alerts as a machine gives them, with plausible values."""

from __future__ import annotations

from dataclasses import asdict

from monitor.alerts import Alert, AlertDraft, AlertKind


def draft(kind: AlertKind = "raised", machine: str = "pump-7", score: float = 41.2) -> AlertDraft:
    """An alert without its identity."""
    return AlertDraft(
        kind=kind,
        machine=machine,
        at="2026-11-23T10:15:30.250Z",
        started_at="2026-11-23T10:15:24.100Z",
        score=score,
        peak_score=score,
        threshold=17.5,
        loss=1.93,
        false_alarms_per_week=1.0,
        bands_hz=((1800.0, 2100.0), (3950.0, 4300.0)),
        bundle_sha256="ab" * 32,
    )


def identified(kind: AlertKind = "raised", event_id: str = "e") -> Alert:
    """An alert with a given ``event_id``."""
    return Alert(**asdict(draft(kind)), event_id=event_id, alert_id="a", sequence=1)
