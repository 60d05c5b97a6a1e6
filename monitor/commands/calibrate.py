"""``auscult calibrate``: a new threshold; the model stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from monitor.audio.recordings import recording_files
from monitor.calibration.channels import ENOUGH_RECORDINGS
from monitor.commands.inspect import channel_name
from monitor.commands.output import emit, message, report_ignored
from monitor.config.settings import load_config
from monitor.detection.settings import DetectorSettings, OperationSettings
from monitor.errors import UsageError
from monitor.folder_lock import only_writer
from monitor.model.bundle import load_bundle
from monitor.model.manifest import Calibration
from monitor.offline.recalibrate import Recalibration, recalibrate
from monitor.text.regular_files import real_path
from monitor.text.wording import counted, rounded

DEFAULT_FALSE_ALARMS_PER_WEEK = 1.0


@dataclass(frozen=True, slots=True)
class CalibrateRequest:
    """The command line of a calibration. The new bundle goes to ``out``, or replaces ``bundle``."""

    bundle: Path
    recordings: Sequence[Path]
    out: Path | None
    in_place: bool
    false_alarms_per_week: float | None
    config: Path | None
    force: bool
    keep_outliers: bool
    as_json: bool


def calibrate(request: CalibrateRequest) -> None:
    """Calibrate the bundle with every recording found. Without a budget the bundle's own is kept.

    Raises ``UsageError`` where the command line does not name one place for the new bundle, and
    ``ServiceUnavailableError`` while another command replaces the bundle.
    """
    _check_target(request)
    with ExitStack() as locks:
        if request.in_place:
            locks.enter_context(only_writer(request.bundle, str(request.bundle)))
        _calibrate(request)


def _calibrate(request: CalibrateRequest) -> None:
    bundle = load_bundle(request.bundle)
    before = bundle.manifest.calibration
    budget = request.false_alarms_per_week
    if budget is None:
        budget = before.false_alarms_per_week if before else DEFAULT_FALSE_ALARMS_PER_WEEK
    report_ignored(request.recordings)
    detector, operation = _configured(request)
    done = recalibrate(
        bundle,
        recording_files(request.recordings),
        out=request.out,
        false_alarms_per_week=budget,
        detector=detector,
        operation=operation,
        force=request.force,
        keep_outliers=request.keep_outliers,
    )
    calibration = done.bundle.calibration
    findings = _findings(done) if request.as_json else []
    if done.stopped:
        n_stopped = counted(len(done.stopped), "recording")
        message(f"the machine does not run in {n_stopped}: not used")
    for line in (*findings, done.match.complaint, calibration.note, _lost(before, calibration)):
        if line:
            message(line)
    emit(
        {
            "bundle": str(done.bundle.path),
            "previous_bundle": str(done.previous),
            "sha256": done.bundle.sha256,
            **calibration.model_dump(mode="json"),
            "before": before.model_dump(mode="json") if before else None,
            "fits": done.match.matches,
            "complaint": done.match.complaint,
            "stopped": list(done.stopped),
            "calibration_set": done.findings.to_dict(),
        },
        _lines(done, before, calibration, in_place=request.in_place),
        as_json=request.as_json,
    )


def _check_target(request: CalibrateRequest) -> None:
    if request.out is None and not request.in_place:
        raise UsageError(
            "calibrate: give --in-place to replace the threshold of "
            f"{request.bundle} (the previous bundle is kept), or --out BUNDLE for a new bundle"
        )
    if request.out is not None and request.in_place:
        raise UsageError("calibrate: give --in-place or --out, not both")
    if request.out is not None and request.out.exists():
        raise UsageError(f"--out {request.out}: exists already; name a new folder")
    if request.out is not None and real_path(request.bundle) in real_path(request.out).parents:
        raise UsageError(f"--out {request.out}: is inside the bundle; name another folder")


def _configured(
    request: CalibrateRequest,
) -> tuple[DetectorSettings | None, OperationSettings | None]:
    """The settings of the configured machine with this bundle, else ``[detector]``."""
    if request.config is None:
        return None, None
    settings = load_config(request.config)
    machine = settings.machine_with(request.bundle)
    return settings.detector_of(machine), machine.operation if machine else None


def _findings(done: Recalibration) -> list[str]:
    return [f"{name.lower():<20}  {text}" for name, text in done.findings.facts().items()]


def _lost(before: Calibration | None, after: Calibration) -> str:
    """The channels that no longer raise alerts; empty if there are none."""
    kept = {channel_name(channel) for channel in after.channels}
    names = [channel_name(channel) for channel in before.channels] if before else []
    lost = [name for name in names if name not in kept]
    if not lost:
        return ""
    return (
        f"no threshold any more, so no alerts, for {', '.join(lost)}. Peaks need at least four "
        "recordings with samples, or long ones. The distance over a long span needs "
        f"{ENOUGH_RECORDINGS} recordings"
    )


def _lines(
    done: Recalibration, before: Calibration | None, after: Calibration, *, in_place: bool
) -> list[str]:
    """The result for people."""
    budget = f"{counted(after.false_alarms_per_week, 'false alarm')} a week"
    rows: list[tuple[str, str, float | None]] = [
        (
            "threshold",
            f"{rounded(after.threshold)} for {budget}",
            before.threshold if before else None,
        ),
        (
            "recording threshold",
            rounded(after.recording_threshold),
            before.recording_threshold if before else None,
        ),
        (
            "median healthy score",
            rounded(after.score_median),
            before.score_median if before else None,
        ),
        ("bundle", str(done.bundle.path), None),
        ("previous bundle" if in_place else "made from", str(done.previous), None),
    ]
    return [
        *_findings(done),
        *(
            f"{label:<20}  {value}" + ("" if old is None else f" (before {rounded(old)})")
            for label, value, old in rows
        ),
    ]
