"""``auscult calibrate``: a new threshold, the model untouched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monitor.audio.recordings import recording_files
from monitor.commands.output import emit, message
from monitor.config.settings import load_config
from monitor.model.bundle import load_bundle
from monitor.model.manifest import Calibration
from monitor.offline.recalibrate import recalibrate

DEFAULT_FALSE_ALARMS_PER_WEEK = 1.0


def calibrate(
    path: Path,
    arguments: Sequence[Path],
    false_alarms_per_week: float | None,
    *,
    config: Path | None,
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
    done = recalibrate(
        bundle,
        recordings,
        false_alarms_per_week=false_alarms_per_week,
        detector=load_config(config).detector if config else None,
        force=force,
    )
    calibration = done.bundle.calibration
    for line in (done.fit.complaint, calibration.note):
        if line:
            message(line)
    emit(
        {
            "bundle": str(path),
            "sha256": done.bundle.sha256,
            **calibration.model_dump(mode="json"),
            "before": before.model_dump(mode="json") if before else None,
            "fits": done.fit.matches,
            "complaint": done.fit.complaint,
        },
        _before_and_after(before, calibration),
        as_json=as_json,
    )


def _before_and_after(before: Calibration | None, after: Calibration) -> list[str]:
    was = f"{before.threshold:.4g}" if before else "none"
    heard = f"{before.score_median:.4g}" if before else "unknown"
    return [
        (
            f"threshold {was} -> {after.threshold:.4g} for {after.false_alarms_per_week:g} "
            "false alarms a week"
        ),
        f"typical healthy score {heard} -> {after.score_median:.4g}",
    ]
