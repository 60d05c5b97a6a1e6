"""``auscult check``: whether `auscult run` would start with this configuration."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from monitor.audio.files import read_blocks
from monitor.commands.output import columns, emit, message
from monitor.config.settings import load_config
from monitor.detection.capture_check import declared_fault
from monitor.domain import SourceState
from monitor.errors import AuscultError
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
            f"threshold {rounded(plan.bundle.calibration.threshold)}",
            str(plan.bundle.path),
        )
        for plan in plans
    ]
    for plan in plans:
        if plan.persistence_warning:
            message(plan.persistence_warning)
        if fault := _capture_fault(plan):
            message(f"{plan.settings.id}: {fault.reason}: {fault.detail}")
    emit(document, [*columns(rows), f"{config}: valid"], as_json=as_json)


def _capture_fault(plan: MachinePlan) -> SourceState | None:
    """The fault if the bundle cannot judge the stated rate or encoding of the source."""
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
