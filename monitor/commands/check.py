"""``auscult check``: would this configuration run?"""

from __future__ import annotations

from pathlib import Path

from monitor.commands.output import columns, emit, message
from monitor.config import load_config
from monitor.detector_settings import DetectorSettings
from monitor.machine_plan import MachinePlan, make_plans


def check(config: Path, *, as_json: bool) -> None:
    """Validate the configuration and every bundle it names, self-test included.

    Raises the ``ConfigError`` or ``BundleError`` that `auscult run` would end with.
    """
    settings = load_config(config)
    settings.mqtt.read_password()
    plans = make_plans(settings)
    document = {
        "config": str(config),
        "broker": f"{settings.mqtt.host}:{settings.mqtt.port}",
        "base_topic": settings.mqtt.base_topic,
        "machines": [
            {
                "id": plan.settings.id,
                "source": plan.settings.source.kind,
                "bundle": str(plan.bundle.path),
                "bundle_sha256": plan.bundle.sha256,
                "threshold": plan.bundle.calibration.threshold,
                "false_alarms_per_week": plan.bundle.calibration.false_alarms_per_week,
            }
            for plan in plans
        ],
    }
    rows = [
        (
            plan.settings.id,
            plan.settings.source.kind,
            f"threshold {plan.bundle.calibration.threshold:.4g}",
            str(plan.bundle.path),
        )
        for plan in plans
    ]
    for plan in plans:
        told = _set_for_another_rule(plan, settings.detector)
        if told:
            message(told)
    emit(document, [*columns(rows), f"{config}: good"], as_json=as_json)


def _set_for_another_rule(plan: MachinePlan, detector: DetectorSettings) -> str:
    """That the threshold's budget counts on faults lasting otherwise than they must, if so."""
    bundle, calibration = plan.bundle, plan.bundle.calibration
    rule = detector.persistence(span_s=bundle.span_s, hop_s=bundle.spec.window_hop_s)
    if (rule.required, rule.out_of) == (
        calibration.persistence_required,
        calibration.persistence_out_of,
    ):
        return ""
    return (
        f"{plan.settings.id}: its threshold was set for {calibration.persistence_required} of "
        f"{calibration.persistence_out_of} scores above it, [detector] asks for {rule.required} of "
        f"{rule.out_of}: the budget of false alarms may not hold; calibrate it with --config"
    )
