"""``auscult check``: whether `auscult run` would start with this configuration."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from monitor.audio.files import read_blocks
from monitor.commands.inspect import operating_states
from monitor.commands.output import columns, emit, message
from monitor.config.settings import load_config
from monitor.config.state_folder import daemon_state_dir, state_dir_fault
from monitor.detection.capture_check import declared_fault
from monitor.detection.duty_cycle import duty_text
from monitor.detection.settings import DetectorSettings
from monitor.domain import SourceState
from monitor.errors import AuscultError
from monitor.process.secret_files import warn_of_broker_secrets
from monitor.service.machine_plan import MachinePlan, make_plans
from monitor.sources.settings import FileSettings
from monitor.text.wording import rounded


def check(config: Path, *, as_json: bool, with_password: bool = True) -> None:
    """Validate the configuration and every bundle in it, and run their self-tests.

    ``with_password``: whether to read the broker's password too.

    Raises the ``ConfigError`` or ``BundleError`` with which `auscult run` would end.
    """
    settings = load_config(config)
    if with_password:
        settings.mqtt.read_password()
        warn_of_broker_secrets(settings.mqtt.used_password_file, settings.mqtt.client_key)
    folder = daemon_state_dir(settings, config)
    if warning := state_dir_fault(folder):
        message(f"warning: {warning}")
    plans = make_plans(settings, state_dir=folder)
    document = {
        "config": str(config),
        "broker": f"{settings.mqtt.host}:{settings.mqtt.port}",
        "base_topic": settings.mqtt.base_topic,
        "machines": [
            {
                "id": plan.settings.id,
                "source": plan.settings.source.kind,
                **_judged_by(plan),
                "detector": plan.detector.model_dump(),
                "operation": plan.settings.operation.model_dump(),
                "states": _operating_states(plan),
                "healthy_duty": plan.duty.model_dump(),
            }
            for plan in plans
        ],
    }
    rows = [
        (
            plan.settings.id,
            plan.settings.source.kind,
            f"threshold {rounded(plan.thresholds.alarm)}" if plan.thresholds else "learning",
            str(plan.bundle.path) if plan.bundle else "no bundle yet",
            _states(plan),
            ", ".join(filter(None, (_own_detector(plan.settings.detector), _own_operation(plan)))),
        )
        for plan in plans
    ]
    duties = [
        f"{plan.settings.id}: warning duty_cycle unless {text}"
        for plan in plans
        if (text := duty_text(plan.duty))
    ]
    for plan in plans:
        if plan.persistence_warning:
            message(plan.persistence_warning)
        if fault := _capture_fault(plan):
            message(f"{plan.settings.id}: {fault.reason}: {fault.detail}")
    emit(document, [*columns(rows), *duties, f"{config}: valid"], as_json=as_json)


def _judged_by(plan: MachinePlan) -> dict[str, object]:
    """The bundle and the thresholds; empty while the machine is learned."""
    if plan.bundle is None or plan.thresholds is None:
        return {}
    return {
        "bundle": str(plan.bundle.path),
        "bundle_sha256": plan.bundle.sha256,
        "threshold": plan.thresholds.alarm,
        "warning_threshold": plan.thresholds.warning,
        "false_alarms_per_week": plan.thresholds.alarm_per_week,
    }


def _own_detector(own: DetectorSettings | None) -> str:
    """The keys of ``[machine.detector]``; empty without one."""
    if own is None:
        return ""
    return ", ".join(f"{key} = {getattr(own, key):g}" for key in sorted(own.model_fields_set))


def _own_operation(plan: MachinePlan) -> str:
    """The keys of ``[machine.operation]``; empty without one."""
    own = plan.settings.operation
    return ", ".join(f"{key} = {_toml(getattr(own, key))}" for key in sorted(own.model_fields_set))


def _toml(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value, ensure_ascii=False)


def _states(plan: MachinePlan) -> str:
    """The operating states in one column; empty for a bundle without any."""
    return ", ".join(
        f"{state['name']}{' (off)' * (state['is_off'] and state['name'] != 'off')} "
        f"{state['share']:.0%}"
        for state in _operating_states(plan)
    )


def _operating_states(plan: MachinePlan) -> list[dict[str, Any]]:
    if plan.bundle is None:
        return []
    return operating_states(plan.bundle, plan.settings.operation)


def _capture_fault(plan: MachinePlan) -> SourceState | None:
    """The fault if the bundle cannot judge the stated rate or encoding of the source."""
    if plan.bundle is None:
        return None
    capture, source = plan.bundle.manifest.capture, plan.settings.source
    if capture is None:
        return None
    if isinstance(source, FileSettings):
        with suppress(AuscultError):  # the daemon reports a file that cannot be read
            block = next(read_blocks(source.path, source.channel))
            return declared_fault(capture, block.sample_rate_hz, block.chain)
        return None
    rate_hz = getattr(source, "sample_rate_hz", None)
    return declared_fault(capture, rate_hz) if rate_hz else None
