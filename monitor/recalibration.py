"""A new threshold for a bundle from new healthy recordings, the model untouched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from monitor.bundle import Bundle, load_bundle, write_manifest
from monitor.calibration import HealthyRecording, calibrate
from monitor.calibration_record import Calibration
from monitor.detector_settings import DetectorSettings
from monitor.errors import BadInputError
from monitor.network import Network
from monitor.persistence import Persistence
from monitor.pipeline import Pipeline, PipelineOutput
from monitor.recording_score import RecordingScore
from monitor.sources.recordings import recording_blocks


def score_healthy(recording: Path, bundle: Bundle, network: Network) -> HealthyRecording:
    """The scores of one recording, as the daemon would give them.

    Raises ``BadInputError`` where it cannot be read or holds nothing to score.
    """
    whole = RecordingScore(bundle.spec, bundle.manifest.score.kind, bundle.head)
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
    )


def _outputs(pipeline: Pipeline, recording: Path) -> Iterable[PipelineOutput]:
    for block in recording_blocks(recording, pipeline.bundle.spec):
        yield pipeline.push(block)
    yield pipeline.finish()


def misfit(calibration: Calibration, recordings: Sequence[HealthyRecording]) -> str:
    """Why these recordings are not of the bundle's machine as it was, or an empty string.

    A bundle knows one machine. Where most healthy recordings of a machine score
    over the threshold for most of their length, either the machine is another
    one or it has changed beyond what a threshold can mend.
    """
    over = [float(np.median(r.scores)) > calibration.threshold for r in recordings]
    if not over or sum(over) <= len(over) / 2:
        return ""
    typical = float(np.median(np.concatenate([r.scores for r in recordings])))
    return (
        f"this bundle does not fit this machine: {sum(over)} of {len(over)} healthy recordings "
        f"score over its threshold (typically {typical:.3g}, the threshold is "
        f"{calibration.threshold:.3g}, the machine it was made for gave "
        f"{calibration.score_median:.3g}); train a bundle on this machine's own sound"
    )


def recalibrate(
    bundle: Bundle,
    recordings: Sequence[Path],
    *,
    false_alarms_per_week: float,
    detector: DetectorSettings | None = None,
    force: bool = False,
) -> Bundle:
    """Give the bundle a new threshold and return it as it is now.

    Raises ``BadInputError`` where there is too little sound, or where the
    recordings are not of the bundle's machine and ``force`` is not given.
    """
    network = Network(bundle)
    healthy = [score_healthy(recording, bundle, network) for recording in recordings]
    before = bundle.manifest.calibration
    complaint = misfit(before, healthy) if before is not None else ""
    if complaint and not force:
        raise BadInputError(f"{bundle.path}: {complaint}, or give --force")
    settings = detector or DetectorSettings()
    calibration = calibrate(
        healthy,
        false_alarms_per_week=false_alarms_per_week,
        persistence=Persistence.lasting(
            settings.min_fault_s,
            settings.persistence_share,
            bundle.span_s,
            bundle.spec.window_hop_s,
        ),
        hop_s=bundle.spec.window_hop_s,
        span_s=bundle.span_s,
    )
    write_manifest(bundle.path, bundle.manifest.model_copy(update={"calibration": calibration}))
    return load_bundle(bundle.path)
