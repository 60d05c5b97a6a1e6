"""Decisions to alerts: a machine, wall time, frequencies and the bundle's hash are added."""

from __future__ import annotations

from collections.abc import Callable

from monitor.alert_record import AlertDraft
from monitor.bundle import Bundle
from monitor.domain import Decision
from monitor.explanation import loud_bands_hz
from monitor.stream_clock import rfc3339


def alert_draft(
    decision: Decision,
    bundle: Bundle,
    machine: str,
    unix_s: Callable[[float], float],
    *,
    replayed: bool = False,
) -> AlertDraft:
    """The alert of a decision, but for what the outbox gives it.

    ``unix_s`` gives the wall time of a position in the stream, in seconds.
    """
    rate_hz = bundle.spec.sample_rate_hz
    return AlertDraft(
        kind=decision.kind,
        machine=machine,
        at=rfc3339(unix_s(decision.at_sample / rate_hz)),
        started_at=rfc3339(unix_s(decision.started_sample / rate_hz)),
        score=decision.score,
        peak_score=decision.peak_score,
        threshold=decision.threshold,
        loss=decision.loss,
        false_alarms_per_week=bundle.calibration.false_alarms_per_week,
        bands_hz=loud_bands_hz(decision.band_error, bundle.spec),
        bundle_sha256=bundle.sha256,
        replayed=replayed,
    )
