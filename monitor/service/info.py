"""What the daemon publishes about itself and its machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor import __version__
from monitor.clock import SYSTEM_CLOCK, rfc3339
from monitor.mqtt.payloads import info_payload
from monitor.service.machine_plan import MachinePlan


def daemon_info(plans: Sequence[MachinePlan], started_s: float) -> dict[str, Any]:
    """The payload of ``info``. ``started_s``: when the daemon began, by the steady clock."""
    started_at = rfc3339(SYSTEM_CLOCK.unix_at(started_s))
    machines = [
        {
            "id": plan.settings.id,
            "source": plan.settings.source.kind,
            "provisional": plan.is_provisional,
            **_judged_by(plan),
        }
        for plan in plans
    ]
    return info_payload(version=__version__, started_at=started_at, machines=machines)


def _judged_by(plan: MachinePlan) -> dict[str, Any]:
    """The bundle and the thresholds; there are none while the machine is learned."""
    bundle, thresholds = plan.bundle, plan.thresholds
    if bundle is None or thresholds is None:
        return {"bundle_sha256": None}
    return {
        "bundle_sha256": bundle.sha256,
        "threshold": thresholds.alarm,
        "warning_threshold": thresholds.warning,
        "false_alarms_per_week": thresholds.alarm_per_week,
        "span_s": bundle.span_s,
    }
