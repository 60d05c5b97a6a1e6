"""A new threshold for a bundle from new healthy recordings; the model stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitor.audio.recordings import recording_blocks
from monitor.calibration.machine_match import MachineMatch, match_recordings
from monitor.calibration.threshold import HealthyRecording, calibrate
from monitor.detection.detector import persistence_of
from monitor.detection.persistence import Persistence
from monitor.detection.settings import DetectorSettings
from monitor.errors import BadInputError
from monitor.model.bundle import Bundle, load_bundle, write_manifest
from monitor.model.manifest import Calibration
from monitor.model.network import Network
from monitor.model.replacement import complete_folder, copy_files, keep_previous
from monitor.offline.calibration_report import CalibrationReport, write_calibration_report
from monitor.pipeline import Pipeline, PipelineOutput


def score_healthy(recording: Path, bundle: Bundle, network: Network) -> HealthyRecording:
    """The scores of one recording, as the daemon would give them.

    Raises ``BadInputError`` where it cannot be read or has nothing to score.
    """
    whole = bundle.recording_score()
    pipeline = Pipeline(bundle, DetectorSettings(), network, whole)
    scores = [score for output in _outputs(pipeline, recording) for score in output.scores]
    if not scores:
        raise BadInputError(
            f"{recording}: nothing to score; at least {bundle.spec.window_s:.2f} s of sound "
            "are needed"
        )
    return HealthyRecording(
        np.array([score.value for score in scores]),
        np.array([score.level_db for score in scores]),
        scores[-1].end_sample / bundle.spec.sample_rate_hz,
        whole.value,
        whole.stretches,
        whole.reference_match,
        whole.mean_offset,
    )


def _outputs(pipeline: Pipeline, recording: Path) -> Iterable[PipelineOutput]:
    for block in recording_blocks(recording, pipeline.bundle.spec):
        yield pipeline.push(block)
    yield pipeline.finish()


@dataclass(frozen=True, slots=True)
class Recalibration:
    """A bundle with its new threshold, and how the new recordings match it.

    ``before``: the calibration that was replaced, if there was one. ``previous``: the folder
    with the bundle as it was.
    """

    bundle: Bundle
    before: Calibration | None
    previous: Path
    match: MachineMatch


def recalibrate(
    bundle: Bundle,
    recordings: Sequence[Path],
    *,
    out: Path | None,
    false_alarms_per_week: float,
    detector: DetectorSettings | None = None,
    force: bool = False,
) -> Recalibration:
    """Give the bundle a new threshold, for the rule of ``detector`` or for the one it had.

    The new bundle is written to the new folder ``out``. With ``out=None`` it replaces the bundle
    at once, after a copy of the bundle before was kept beside it: a reader always finds a
    complete bundle.

    Raises ``BadInputError`` for too few recordings, and where the recordings are not of the
    bundle's machine and ``force`` is not given.
    """
    network = Network(bundle)
    healthy = [score_healthy(recording, bundle, network) for recording in recordings]
    before = bundle.manifest.calibration
    match = MachineMatch(True)
    if before is not None:
        match = match_recordings(before, healthy, bundle.reference_names, bundle.head.healthy)
    if not match.matches and not force:
        raise BadInputError(f"{bundle.path}: {match.complaint}, or give --force")
    calibration = calibration_of(
        bundle, healthy, _rule(bundle, detector), false_alarms_per_week=false_alarms_per_week
    )
    names = [str(recording) for recording in recordings]
    path = bundle.path if out is None else out

    def write(folder: Path, previous: Path) -> None:
        manifest = bundle.manifest.model_copy(update={"calibration": calibration})
        write_manifest(folder, manifest)
        report = CalibrationReport(path, manifest, before, previous, names, healthy)
        write_calibration_report(folder, report)

    if out is None:
        previous = keep_previous(path)
        write(path, previous)
    else:
        previous = bundle.path
        with complete_folder(path) as folder:
            copy_files(bundle.path, folder)
            write(folder, previous)
    return Recalibration(load_bundle(path), before, previous, match)


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
