"""Makes an alert draft from a decision: adds machine, time, frequencies and the bundle's hash."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from monitor.alerts import AlertDraft
from monitor.clock import rfc3339
from monitor.domain import Decision, FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.bundle import Bundle

_SHARE_OF_PEAK = 0.5


def loud_bands_hz(
    band_error: FloatArray, spec: LogMelSpec, most: int = 3
) -> tuple[tuple[float, float], ...]:
    """At most ``most`` ranges in Hz where the averaged residual is largest, in rising order.

    ``band_error``: shape ``(n_mels,)``, signed, in healthy standard deviations. A range
    is a run of neighbouring bands with at least half the largest error. If there are more
    than ``most``, those with the largest errors are returned.
    """
    size = np.abs(band_error)
    if not size.size or not size.max() > 0:
        return ()
    over = np.concatenate(([False], size >= _SHARE_OF_PEAK * size.max(), [False]))
    edges = np.flatnonzero(over[1:] != over[:-1])
    runs = [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]
    runs.sort(key=lambda run: -float(size[run[0] : run[1]].max()))
    return tuple(
        (round(spec.band_edges_hz(first)[0], 1), round(spec.band_edges_hz(end - 1)[1], 1))
        for first, end in sorted(runs[:most])
    )


def alert_draft(
    decision: Decision,
    bundle: Bundle,
    machine: str,
    unix_s: Callable[[float], float],
    *,
    replayed: bool = False,
) -> AlertDraft:
    """The alert of a decision, without its identity.

    ``unix_s``: seconds since the stream began to Unix time in seconds.
    """
    rate_hz = bundle.spec.sample_rate_hz
    at_unix_s = unix_s(decision.at_sample / rate_hz)
    lasted_s = (decision.at_sample - decision.started_sample) / rate_hz
    return AlertDraft(
        kind=decision.kind,
        machine=machine,
        at=rfc3339(at_unix_s),
        started_at=rfc3339(at_unix_s - lasted_s),  # also where the time of a recording is not used
        score=decision.score,
        peak_score=decision.peak_score,
        threshold=decision.threshold,
        loss=decision.loss,
        false_alarms_per_week=decision.false_alarms_per_week,
        bands_hz=decision.bands_hz or loud_bands_hz(decision.band_error, bundle.spec),
        bundle_sha256=bundle.sha256,
        replayed=replayed,
        reason=decision.reason,
        provisional=bundle.calibration.provisional,
        continues=decision.continues,
        span_s=round(decision.span_s, 3),
        channel=decision.channel,
        position_s=decision.at_sample / rate_hz,
    )
