"""Healthy recordings to a bundle: train, choose the score, calibrate, save.

The threshold is set from scores of recordings whose statistics were estimated without them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from monitor.calibration.findings import SetFindings
from monitor.calibration.threshold import HealthyRecording, calibrate
from monitor.detection.settings import DetectorSettings
from monitor.domain import FloatArray
from monitor.model.bundle import MANIFEST, Bundle
from monitor.model.head import Head
from monitor.model.manifest import Calibration
from monitor.model.replacement import keep_previous
from monitor.text.escaping import one_line
from training.device import resolve_device
from training.history import FitResult, TrainingProgress
from training.sound.bundle import SoundModel, network_of, reconstruct_db, write_bundle
from training.sound.capture import capture_of
from training.sound.controls import (
    Control,
    Trial,
    compare_scores,
    heads_of,
    network_benefit,
    with_network,
    without_network,
)
from training.sound.crossfit import FoldHead, HealthySound, fit_statistics, gather, head_for
from training.sound.evidence_graph import EvidenceGraph
from training.sound.head import healthy_sample, with_references
from training.sound.network_training import split_recordings, train_network
from training.sound.recording_evidence import RecordingEvidence, evidence_of, score_evidence
from training.sound.recordings import folds
from training.sound.request import AudioRequest, TrainingData, read_training_data
from training.sound.score_choice import Choice, choose_score
from training.sound.training_set import with_outliers

__all__ = ["AudioRequest", "AudioResult", "train_audio"]

logger = logging.getLogger(__name__)

CROSS_FIT_FOLDS = 10
_LEAST_RESIDUAL_DEVIATION = 0.02


@dataclass(frozen=True, slots=True)
class AudioResult:
    """A saved bundle and the figures of its report.

    ``previous``: the copy of the bundle that was replaced.
    ``healthy``: the cross-fitted scores of every recording, ``healthy_before`` those with the
    bundle that was continued. ``names``: of the recordings or their sections, ``n_files``: how
    many files they come from. ``sample_db``: a window ``(n_mels, n_frames)``, and
    ``reconstruction_db`` its reconstruction.
    """

    bundle: Bundle
    previous: Path | None
    choice: Choice
    history: FitResult
    names: tuple[str, ...]
    n_files: int
    healthy: tuple[HealthyRecording, ...]
    healthy_before: tuple[HealthyRecording, ...]
    threshold_before: float | None
    findings: SetFindings
    controls: tuple[Control, ...]
    network_benefit: str
    n_regimes: int
    sample_db: FloatArray
    reconstruction_db: FloatArray


def train_audio(request: AudioRequest, progress: Sequence[TrainingProgress] = ()) -> AudioResult:
    """Make the bundle of a request.

    Raises ``BadInputError`` and ``MissingInputError`` for recordings that cannot be used or are
    too few to calibrate, ``UsageError`` for options that cannot be used together.
    """
    # The matrices are small: with several threads, most of the time is waiting.
    with threadpool_limits(limits=1, user_api="blas"):
        return _train_audio(request, progress)


def _train_audio(request: AudioRequest, progress: Sequence[TrainingProgress]) -> AudioResult:
    data = read_training_data(request)
    device = resolve_device(request.device)
    learned = _learn_scores(request, data, device, progress)
    findings = with_outliers(
        data.findings,
        data.files,
        data.recordings,
        learned.sound,
        learned.scores_without_file(),
        keep=request.keep_outliers,
    )
    if findings.outliers and not request.keep_outliers:
        names = {outlier.name for outlier in findings.outliers}
        logger.warning(
            "training again without recordings that do not fit the others: %s",
            ", ".join(map(one_line, sorted(names))),
        )
        data = data.without({file.file for file in data.files if file.name in names})
        learned = _learn_scores(request, data, device, progress)

    graph, sound, choice, trial = learned.graph, learned.sound, learned.choice, learned.trial
    heads, healthy = learned.heads, learned.healthy
    spec, seed = data.spec, request.seed
    healthy_before = _scores_before(data, device)
    calibration = _calibrate(healthy, request, data, distances=heads[0].head.is_distance)

    scorings = with_network(trial, sound, choice)
    scorings.append(without_network(trial, data.references, sound.regime, request.score))
    controls = compare_scores(scorings, trial)
    benefit = network_benefit(controls, len(data.recordings))

    head = _final_head(sound, choice, heads, data, seed)
    _warn_without_references(head, request, data)
    share, scored_bands = request.settings.training.scored_share, graph.network.spec.scored_bands
    capture = capture_of(data.recordings, spec, scored_bands, share)
    model = SoundModel(graph.cpu(), spec, data.span_s, choice, head, calibration, capture)
    sample_db = data.recordings[0].windows(spec)[: data.span_windows]
    provenance = {
        **_provenance(request, data, choice, sound.n_regimes),
        **_controls_record(controls, benefit),
        "training_set": findings.to_dict(),
    }
    previous = None
    if request.keep_previous and (request.out / MANIFEST).exists():
        previous = keep_previous(request.out)
    bundle = write_bundle(request.out, model, sample_db, provenance)
    continued = data.continued
    return AudioResult(
        bundle=bundle,
        previous=previous,
        choice=choice,
        history=learned.history,
        names=tuple(recording.name for recording in data.recordings),
        n_files=len({recording.file for recording in data.recordings}),
        healthy=tuple(healthy),
        healthy_before=tuple(healthy_before),
        threshold_before=continued.calibration.threshold if continued else None,
        findings=findings,
        controls=tuple(controls),
        network_benefit=benefit,
        n_regimes=sound.n_regimes,
        sample_db=sample_db[0],
        reconstruction_db=reconstruct_db(graph, sample_db[:1])[0],
    )


@dataclass(frozen=True, slots=True)
class _Learned:
    """A trained network with the evidence and the cross-fitted scores of its recordings."""

    graph: EvidenceGraph
    history: FitResult
    sound: HealthySound
    choice: Choice
    trial: Trial
    heads: Sequence[FoldHead]
    healthy: list[HealthyRecording]

    def scores_without_file(self) -> list[HealthyRecording]:
        """The scores by statistics without any section of the same file."""
        file = np.array([recording.file for recording in self.trial.recordings])
        if len(np.unique(file)) == len(file):
            return self.healthy
        return _cross_fitted(self.sound, self.trial, heads_of(self.sound, file, self.choice))


def _learn_scores(
    request: AudioRequest,
    data: TrainingData,
    device: torch.device,
    progress: Sequence[TrainingProgress],
) -> _Learned:
    spec, span_windows, seed = data.spec, data.span_windows, request.seed
    graph, history = _learn(request, data, device, progress)
    evidence = [evidence_of(graph, recording, spec, device) for recording in data.recordings]
    reference_evidence = [
        [evidence_of(graph, recording, spec, device) for recording in machine]
        for machine in data.references
    ]
    _set_residual_scale(graph, evidence, span_windows)
    sound = gather(evidence, reference_evidence, span_windows, parts=graph.layout.parts, seed=seed)
    choice = choose_score(sound, seed, request.score)
    fold = folds(len(evidence), CROSS_FIT_FOLDS, seed)
    trial = Trial(graph, spec, span_windows, device, seed, data.recordings, fold)
    heads = heads_of(sound, fold, choice)
    healthy = _cross_fitted(sound, trial, heads)
    return _Learned(graph, history, sound, choice, trial, heads, healthy)


def _learn(
    request: AudioRequest,
    data: TrainingData,
    device: torch.device,
    progress: Sequence[TrainingProgress],
) -> tuple[EvidenceGraph, FitResult]:
    network, history = train_network(
        split_recordings(data.recordings, request.seed),
        data.references,
        data.spec,
        request.settings.training,
        seed=request.seed,
        device=device,
        start=network_of(data.continued) if data.continued else None,
        scored_bands=data.scored_bands,
        progress=progress,
    )
    return EvidenceGraph(network).to(device).eval(), history


def _set_residual_scale(
    graph: EvidenceGraph, recordings: Sequence[RecordingEvidence], span_windows: int
) -> None:
    """Standardise ``band_residual`` by the mean and deviation of healthy spans."""
    residuals = np.concatenate([r.spans(span_windows, step=span_windows) for r in recordings])
    residuals = residuals[:, graph.layout.residual]
    deviations = np.maximum(residuals.std(axis=0), _LEAST_RESIDUAL_DEVIATION)
    graph.residual_mean.copy_(torch.from_numpy(residuals.mean(axis=0)))
    graph.residual_deviation.copy_(torch.from_numpy(deviations))


def _cross_fitted(
    sound: HealthySound, trial: Trial, heads: Sequence[FoldHead]
) -> list[HealthyRecording]:
    return [
        score_evidence(recording, trial.spec, trial.span_windows, head_for(heads, index))
        for index, recording in enumerate(sound.recordings)
    ]


def _calibrate(
    healthy: Sequence[HealthyRecording],
    request: AudioRequest,
    data: TrainingData,
    *,
    distances: bool,
) -> Calibration:
    detector: DetectorSettings = request.settings.detector
    hop_s, span_s = data.spec.window_hop_s, data.spec.seconds_of(data.span_windows)
    return calibrate(
        healthy,
        false_alarms_per_week=request.false_alarms_per_week,
        persistence=detector.persistence(span_s=span_s, hop_s=hop_s),
        hop_s=hop_s,
        span_s=span_s,
        distances=distances,
        n_files=len({recording.file for recording in data.recordings}),
        seed=request.seed,
    )


def _final_head(
    sound: HealthySound, choice: Choice, heads: Sequence[FoldHead], data: TrainingData, seed: int
) -> Head:
    if not heads[0].head.is_distance:
        return heads[0].head
    everything = np.ones(len(sound.recordings), dtype=bool)
    statistics = fit_statistics(sound, everything, use_references=choice.use_references)
    file = [recording.file for recording in data.recordings]
    by_file = heads if len(set(file)) == len(file) else heads_of(sound, np.array(file), choice)
    head = with_references(statistics.head(choice.shrinkage), sound, file, by_file, seed)
    return replace(head, healthy=healthy_sample(sound, file, head, data.spec))


def _warn_without_references(head: Head, request: AudioRequest, data: TrainingData) -> None:
    """Warn that the bundle cannot tell the machine from its reference machines."""
    if len(head.references):
        return
    if request.references:
        logger.warning(
            "The bundle does not recognise the reference machines. This needs at least "
            "3 recordings and a score other than plain"
        )
    elif data.continued and len(data.continued.head.references):
        logger.warning(
            "The new bundle does not recognise reference machines, although %s does. "
            "To keep this, give --reference again",
            data.continued.path,
        )


def _scores_before(data: TrainingData, device: torch.device) -> list[HealthyRecording]:
    """The scores of the new recordings with the bundle that is continued."""
    bundle = data.continued
    if bundle is None:
        return []
    graph = EvidenceGraph(network_of(bundle)).to(device).eval()
    return [
        score_evidence(
            evidence_of(graph, recording, data.spec, device),
            data.spec,
            data.span_windows,
            bundle.head,
        )
        for recording in data.recordings
    ]


def _provenance(
    request: AudioRequest, data: TrainingData, choice: Choice, n_regimes: int
) -> dict[str, Any]:
    spec = data.spec
    return {
        "recordings": [
            {"name": r.name, "seconds": round(r.seconds(spec), 2)} for r in data.recordings
        ],
        "references": [
            {
                "name": str(path),
                "recordings": len(machine),
                "seconds": round(sum(r.seconds(spec) for r in machine), 2),
            }
            for path, machine in zip(request.references, data.references, strict=True)
        ],
        "continued": data.continued.sha256 if data.continued else None,
        "seed": request.seed,
        "training": request.settings.training.model_dump(mode="json"),
        "shrinkage": choice.shrinkage,
        "references_used": choice.use_references,
        "regimes": n_regimes,
        "score_details": choice.details,
    }


def _controls_record(controls: Sequence[Control], benefit: str) -> dict[str, Any]:
    return {
        "verdict": benefit,
        "controls": [
            {
                "name": control.name,
                "score": control.kind,
                "auc": {name: round(auc, 4) for name, auc in control.auc.items()},
            }
            for control in controls
        ],
    }
