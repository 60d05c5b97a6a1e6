"""A new threshold for a bundle from new healthy recordings; the model stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor.calibration.findings import SetFindings
from monitor.calibration.machine_match import MachineMatch, match_recordings
from monitor.calibration.threshold import HealthyRecording, calibrate
from monitor.detection.detector import persistence_of
from monitor.detection.persistence import Persistence
from monitor.detection.settings import DetectorSettings, OperationSettings
from monitor.errors import BadInputError
from monitor.model.bundle import Bundle, load_bundle, write_manifest
from monitor.model.manifest import Calibration
from monitor.model.network import Network
from monitor.model.replacement import complete_folder, copy_files, keep_previous
from monitor.offline.calibration_report import CalibrationReport, write_calibration_report
from monitor.offline.healthy_set import read_healthy_set

_OF_THE_THRESHOLDS = ("budget_recall", "recall", "recall_growth")
"""Figures of the provenance that hold only for the thresholds of the training."""


@dataclass(frozen=True, slots=True)
class Recalibration:
    """A bundle with its new threshold, how the new recordings match it and each other.

    ``before``: the calibration that was replaced, if there was one. ``previous``: the folder
    with the bundle as it was. ``stopped``: the recordings in which the machine does not run.
    """

    bundle: Bundle
    before: Calibration | None
    previous: Path
    match: MachineMatch
    findings: SetFindings
    stopped: tuple[str, ...] = ()


def recalibrate(
    bundle: Bundle,
    recordings: Sequence[Path],
    *,
    out: Path | None,
    false_alarms_per_week: float,
    detector: DetectorSettings | None = None,
    operation: OperationSettings | None = None,
    force: bool = False,
    keep_outliers: bool = False,
) -> Recalibration:
    """Give the bundle a new threshold, for the rule of ``detector`` or for the one it had.

    The new bundle is written to the new folder ``out``. With ``out=None`` it replaces the bundle
    at once, after a copy of the previous bundle was kept next to it: a reader always finds a
    complete bundle. Copies of other recordings are not used, nor are recordings that do not fit
    the others, except with ``keep_outliers``, nor those in which the machine does not run.

    Raises ``BadInputError`` for recordings that cannot be used, each on its own line, for too
    few recordings, and where the recordings are not of the bundle's machine and ``force`` is
    not given.
    """
    network = Network(bundle)
    used = read_healthy_set(
        recordings, bundle, network, operation, keep_outliers=keep_outliers, detector=detector
    )
    healthy, findings = used.healthy, used.findings
    before = bundle.manifest.calibration
    match = MachineMatch(True)
    if before is not None:
        match = match_recordings(before, healthy, bundle.reference_names, bundle.head.healthy)
    if not match.matches and not force:
        raise BadInputError(f"{bundle.path}: {match.complaint}. --force uses them nevertheless")
    try:
        calibration = calibration_of(
            bundle, healthy, _rule(bundle, detector), false_alarms_per_week=false_alarms_per_week
        )
    except BadInputError as error:
        if not findings.copies_text:
            raise
        raise BadInputError(f"{error}. {findings.copies_text}") from error
    kept = {k: v for k, v in bundle.manifest.provenance.items() if k not in _OF_THE_THRESHOLDS}
    provenance = {**kept, "calibration_set": findings.to_dict()}
    path = bundle.path if out is None else out

    def write(folder: Path, previous: Path) -> None:
        manifest = bundle.manifest.model_copy(
            update={"calibration": calibration, "provenance": provenance}
        )
        write_manifest(folder, manifest)
        report = CalibrationReport(path, manifest, before, previous, used.names, healthy, findings)
        write_calibration_report(folder, report)

    if out is None:
        previous = keep_previous(path)
        write(path, previous)
    else:
        previous = bundle.path
        with complete_folder(path) as folder:
            copy_files(bundle.path, folder)
            write(folder, previous)
    return Recalibration(load_bundle(path), before, previous, match, findings, used.stopped)


def calibration_of(
    bundle: Bundle,
    healthy: Sequence[HealthyRecording],
    rule: Persistence,
    *,
    false_alarms_per_week: float,
) -> Calibration:
    """The calibration of the bundle from healthy scores. Raises as ``calibrate``."""
    return calibrate(
        healthy,
        false_alarms_per_week=false_alarms_per_week,
        persistence=rule,
        hop_s=bundle.spec.window_hop_s,
        span_s=bundle.actual_span_s,
        distances=bundle.head.is_distance,
    )


def _rule(bundle: Bundle, detector: DetectorSettings | None) -> Persistence:
    before = bundle.manifest.calibration
    if detector is None and before is not None:
        return Persistence(before.persistence_required, before.persistence_out_of)
    return persistence_of(bundle, detector or DetectorSettings())
