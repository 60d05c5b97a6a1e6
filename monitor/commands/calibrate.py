"""``auscult calibrate``: a new threshold, the model untouched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monitor.bundle import load_bundle
from monitor.commands.output import emit, message
from monitor.recalibration import recalibrate
from monitor.sources.recordings import recording_files

DEFAULT_FALSE_ALARMS_PER_WEEK = 1.0


def calibrate(
    path: Path,
    arguments: Sequence[Path],
    false_alarms_per_week: float | None,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Calibrate the bundle with every recording found in ``arguments``.

    Without a budget the bundle's own is kept.
    """
    bundle = load_bundle(path)
    before = bundle.manifest.calibration
    if false_alarms_per_week is None:
        false_alarms_per_week = (
            before.false_alarms_per_week if before else DEFAULT_FALSE_ALARMS_PER_WEEK
        )
    recordings = recording_files(arguments)
    bundle = recalibrate(
        bundle, recordings, false_alarms_per_week=false_alarms_per_week, force=force
    )
    calibration = bundle.calibration
    was = f"{before.threshold:.4g}" if before else "none"
    if calibration.note:
        message(calibration.note)
    now = (
        f"{calibration.threshold:.4g} for {calibration.false_alarms_per_week:g} false alarms a week"
    )
    emit(
        {"bundle": str(path), "sha256": bundle.sha256, **calibration.model_dump(mode="json")},
        [f"threshold {was} -> {now}"],
        as_json=as_json,
    )
