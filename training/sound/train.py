"""Healthy recordings to a bundle: train, choose the score, calibrate, save.

Every figure that sets the threshold comes from statistics that did not see the recording
it was taken from.
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

from monitor.calibration.threshold import HealthyRecording, calibrate
from monitor.detection.settings import DetectorSettings
from monitor.domain import FloatArray
from monitor.model.bundle import MANIFEST, Bundle
from monitor.model.head import Head
from monitor.model.manifest import Calibration
from monitor.model.replacement import keep_previous
from training.loop import FitResult, Listener, resolve_device
from training.sound.bundle import SoundModel, network_of, reconstruct_db, write_bundle
from training.sound.controls import (
    Control,
    Trial,
    compare_scores,
    heads_of,
    verdict,
    with_network,
    without_network,
)
from training.sound.crossfit import FoldHead, HealthySound, fit_statistics, gather, head_for
from training.sound.evidence_graph import EvidenceGraph
from training.sound.head import healthy_sample, with_references
from training.sound.network_training import split_recordings, train_network
from training.sound.recording_evidence import Heard, hear, score_heard
from training.sound.recordings import folds
from training.sound.request import AudioRequest, Material, read_material
from training.sound.score_choice import Choice, choose_score

__all__ = ["AudioRequest", "AudioResult", "train_audio"]

logger = logging.getLogger(__name__)

CROSS_FIT_FOLDS = 10
_LEAST_RESIDUAL_DEVIATION = 0.02


@dataclass(frozen=True, slots=True)
class AudioResult:
    """A saved bundle and the figures of its report.

    ``previous``: the copy of the bundle that was replaced.
    ``healthy``: the cross-fitted scores of every recording, ``healthy_before`` those by the
    bundle that was continued. ``sample_db``: a window ``(n_mels, n_frames)``, and
    ``reconstruction_db`` what became of it.
    """

    bundle: Bundle
    previous: Path | None
    choice: Choice
    history: FitResult
    names: tuple[str, ...]
    healthy: tuple[HealthyRecording, ...]
    healthy_before: tuple[HealthyRecording, ...]
    threshold_before: float | None
    controls: tuple[Control, ...]
    verdict: str
    n_regimes: int
    sample_db: FloatArray
    reconstruction_db: FloatArray


def train_audio(request: AudioRequest, listeners: Sequence[Listener] = ()) -> AudioResult:
    """Make the bundle that ``request`` asks for.

    Raises ``BadInputError`` and ``MissingInputError`` for recordings that cannot be used or
    are too few to calibrate, ``UsageError`` for options that do not go together.
    """
    # The matrices are small: threads would spend their time waiting for each other.
    with threadpool_limits(limits=1, user_api="blas"):
        return _train_audio(request, listeners)


def _train_audio(request: AudioRequest, listeners: Sequence[Listener]) -> AudioResult:
    material = read_material(request)
    device = resolve_device(request.device)
    spec, span_windows, seed = material.spec, material.span_windows, request.seed

    healthy_before = _scores_before(material, device)
    graph, history = _learn(request, material, device, listeners)
    heard = [hear(graph, recording, spec, device) for recording in material.recordings]
    heard_references = [
        [hear(graph, recording, spec, device) for recording in machine]
        for machine in material.references
    ]
    _set_residual_scale(graph, heard, span_windows)
    sound = gather(heard, heard_references, span_windows, parts=graph.layout.parts, seed=seed)
    choice = choose_score(sound, seed, request.score)
    logger.info("score: %s, %s", choice.kind, choice.reason)

    fold = folds(len(heard), CROSS_FIT_FOLDS, seed)
    trial = Trial(graph, spec, span_windows, device, seed, material.recordings, fold)
    heads = heads_of(sound, fold, choice)
    healthy = _cross_fitted(sound, trial, heads)
    distances = heads[0].head.is_distance
    calibration = _calibrate(healthy, request, material, distances=distances)
    logger.info("%s", calibration.note)

    scorings = with_network(trial, sound, choice)
    scorings.append(without_network(trial, material.references, sound.regime, request.score))
    controls = compare_scores(scorings, trial)
    judged = verdict(controls)
    logger.info("%s", judged)

    head = _final_head(sound, choice, heads, material, seed)
    _warn_without_references(head, request, material)
    model = SoundModel(graph.cpu(), spec, material.span_s, choice, head, calibration)
    sample_db = material.recordings[0].windows(spec)[:span_windows]
    provenance = {
        **_provenance(request, material, choice, sound.n_regimes),
        **_controls_record(controls, judged),
    }
    previous = None
    if request.keep_previous and (request.out / MANIFEST).exists():
        previous = keep_previous(request.out)
    bundle = write_bundle(request.out, model, sample_db, provenance)
    continued = material.continued
    return AudioResult(
        bundle=bundle,
        previous=previous,
        choice=choice,
        history=history,
        names=tuple(recording.name for recording in material.recordings),
        healthy=tuple(healthy),
        healthy_before=tuple(healthy_before),
        threshold_before=continued.calibration.threshold if continued else None,
        controls=tuple(controls),
        verdict=judged,
        n_regimes=sound.n_regimes,
        sample_db=sample_db[0],
        reconstruction_db=reconstruct_db(graph, sample_db[:1])[0],
    )


def _learn(
    request: AudioRequest,
    material: Material,
    device: torch.device,
    listeners: Sequence[Listener],
) -> tuple[EvidenceGraph, FitResult]:
    network, history = train_network(
        split_recordings(material.recordings, request.seed),
        material.references,
        material.spec,
        request.settings.training,
        seed=request.seed,
        device=device,
        start=network_of(material.continued) if material.continued else None,
        listeners=listeners,
    )
    return EvidenceGraph(network).to(device).eval(), history


def _set_residual_scale(graph: EvidenceGraph, heard: Sequence[Heard], span_windows: int) -> None:
    """Express ``band_residual`` in the deviations that healthy spans show."""
    residuals = np.concatenate([h.spans(span_windows, step=span_windows) for h in heard])
    residuals = residuals[:, graph.layout.residual]
    deviations = np.maximum(residuals.std(axis=0), _LEAST_RESIDUAL_DEVIATION)
    graph.residual_mean.copy_(torch.from_numpy(residuals.mean(axis=0)))
    graph.residual_deviation.copy_(torch.from_numpy(deviations))


def _cross_fitted(
    sound: HealthySound, trial: Trial, heads: Sequence[FoldHead]
) -> list[HealthyRecording]:
    return [
        score_heard(heard, trial.spec, trial.span_windows, head_for(heads, index))
        for index, heard in enumerate(sound.recordings)
    ]


def _calibrate(
    healthy: Sequence[HealthyRecording],
    request: AudioRequest,
    material: Material,
    *,
    distances: bool,
) -> Calibration:
    detector: DetectorSettings = request.settings.detector
    hop_s, span_s = material.spec.window_hop_s, material.spec.seconds_of(material.span_windows)
    return calibrate(
        healthy,
        false_alarms_per_week=request.false_alarms_per_week,
        persistence=detector.persistence(span_s=span_s, hop_s=hop_s),
        hop_s=hop_s,
        span_s=span_s,
        distances=distances,
        n_files=len({recording.file for recording in material.recordings}),
        seed=request.seed,
    )


def _final_head(
    sound: HealthySound, choice: Choice, heads: Sequence[FoldHead], material: Material, seed: int
) -> Head:
    if not heads[0].head.is_distance:
        return heads[0].head
    everything = np.ones(len(sound.recordings), dtype=bool)
    statistics = fit_statistics(sound, everything, use_references=choice.use_references)
    file = [recording.file for recording in material.recordings]
    by_file = heads if len(set(file)) == len(file) else heads_of(sound, np.array(file), choice)
    head = with_references(statistics.head(choice.shrinkage), sound, file, by_file, seed)
    return replace(head, healthy=healthy_sample(sound, file, head, material.spec))


def _warn_without_references(head: Head, request: AudioRequest, material: Material) -> None:
    """Who gave reference machines counts on their being told from the machine."""
    if len(head.references):
        return
    if request.references:
        logger.warning("too little sound, or a plain score, to tell the reference machines apart")
    elif material.continued and len(material.continued.head.references):
        logger.warning(
            "%s knows reference machines; without --reference the new bundle knows none",
            material.continued.path,
        )


def _scores_before(material: Material, device: torch.device) -> list[HealthyRecording]:
    """How the bundle that is continued scores the new recordings."""
    bundle = material.continued
    if bundle is None:
        return []
    graph = EvidenceGraph(network_of(bundle)).to(device).eval()
    return [
        score_heard(
            hear(graph, recording, material.spec, device),
            material.spec,
            material.span_windows,
            bundle.head,
        )
        for recording in material.recordings
    ]


def _provenance(
    request: AudioRequest, material: Material, choice: Choice, n_regimes: int
) -> dict[str, Any]:
    spec = material.spec
    return {
        "recordings": [
            {"name": r.name, "seconds": round(r.seconds(spec), 2)} for r in material.recordings
        ],
        "references": [
            {
                "name": str(path),
                "recordings": len(machine),
                "seconds": round(sum(r.seconds(spec) for r in machine), 2),
            }
            for path, machine in zip(request.references, material.references, strict=True)
        ],
        "continued": material.continued.sha256 if material.continued else None,
        "seed": request.seed,
        "training": request.settings.training.model_dump(mode="json"),
        "shrinkage": choice.shrinkage,
        "references_used": choice.use_references,
        "regimes": n_regimes,
    }


def _controls_record(controls: Sequence[Control], judged: str) -> dict[str, Any]:
    return {
        "verdict": judged,
        "controls": [
            {
                "name": control.name,
                "score": control.kind,
                "auc": {name: round(auc, 4) for name, auc in control.auc.items()},
            }
            for control in controls
        ],
    }
