"""Healthy recordings to a bundle: train, choose the score, calibrate, save.

The threshold is set from scores of recordings whose statistics were estimated without them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from monitor.calibration.findings import SetFindings
from monitor.calibration.threshold import HealthyRecording
from monitor.detection.persistence import Persistence
from monitor.domain import FloatArray
from monitor.model.bundle import MANIFEST, Bundle
from monitor.model.head import Head
from monitor.model.replacement import keep_previous
from monitor.text.escaping import one_line
from training.device import resolve_device
from training.history import FitResult, TrainingProgress
from training.sound.budget_recall import BudgetRecall
from training.sound.bundle import (
    SoundModel,
    controls_record,
    provenance_of,
    reconstruct_db,
    write_bundle,
)
from training.sound.capture import capture_of
from training.sound.controls import (
    Control,
    compare_scores,
    heads_of,
    network_benefit,
)
from training.sound.crossfit import fit_statistics
from training.sound.head import healthy_sample, with_references
from training.sound.healthy_calibration import calibrated, with_more
from training.sound.held_out import held_out_ratios
from training.sound.injection import inject
from training.sound.recordings import are_apart
from training.sound.request import AudioRequest, TrainingData, read_training_data
from training.sound.score_choice import Choice
from training.sound.scored_network import ScoredNetwork, scores_before, train_and_score
from training.sound.scorings import with_network, without_network
from training.sound.training_set import with_outliers
from training.sound.variation_choice import VariationChoice

__all__ = ["AudioRequest", "AudioResult", "train_audio"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AudioResult:
    """A saved bundle and the figures of its report.

    ``previous``: the copy of the bundle that was replaced.
    ``healthy``: the cross-fitted scores of every recording, ``healthy_before`` those with the
    bundle that was continued. ``names``: of the recordings or their sections, ``files``: the
    numbers of the files they come from. ``sample_db``: a window ``(n_mels, n_frames)``, and
    ``reconstruction_db`` its reconstruction.
    """

    bundle: Bundle
    previous: Path | None
    choice: Choice
    variation: VariationChoice
    history: FitResult
    names: tuple[str, ...]
    files: tuple[int, ...]
    healthy: tuple[HealthyRecording, ...]
    healthy_before: tuple[HealthyRecording, ...]
    threshold_before: float | None
    findings: SetFindings
    controls: tuple[Control, ...]
    recall: BudgetRecall
    network_benefit: str
    n_regimes: int
    sample_db: FloatArray
    reconstruction_db: FloatArray

    @property
    def n_files(self) -> int:
        """How many files the recordings come from."""
        return len(set(self.files))


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
    learned = train_and_score(request, data, device, progress)
    findings = with_outliers(
        data.findings,
        data.files,
        data.recordings,
        learned.sound,
        learned.distances_without_file(),
        keep=request.keep_outliers,
        confirmed=data.confirmed,
    )
    if findings.outliers and not request.keep_outliers:
        names = {outlier.name for outlier in findings.outliers}
        logger.warning(
            "training again without recordings that do not fit the others: %s",
            ", ".join(map(one_line, sorted(names))),
        )
        data = data.without({file.file for file in data.files if file.name in names})
        learned = train_and_score(request, data, device, progress)

    graph, sound, choice, trial = learned.graph, learned.sound, learned.choice, learned.trial
    heads, healthy = learned.heads, learned.healthy
    spec, seed = data.spec, request.seed
    healthy_before = scores_before(request, data, device)
    distances = heads[0].head.is_distance
    calibration = calibrated(healthy, request, data, distances=distances)
    held_out = held_out_ratios(healthy, calibration, spec.seconds_of(data.span_windows))

    scorings = with_network(sound, choice, trial, heads)
    scorings.append(without_network(trial, data.references, sound.regime, request.score))
    controls = compare_scores(scorings, trial)
    benefit = network_benefit(controls, len(data.recordings))
    paths = {file.file: file.path for file in data.files}
    faults = inject(
        trial,
        learned.channels.statistics,
        Persistence(calibration.persistence_required, calibration.persistence_out_of),
        learned.channels.spans,
        [paths[recording.file] for recording in data.recordings],
    )
    recall = BudgetRecall(faults, with_more(healthy, request, data, distances=distances))

    head = _final_head(learned, data, seed)
    _warn_without_references(head, request, data)
    share, scored_bands = request.settings.training.scored_share, graph.network.spec.scored_bands
    capture = capture_of(data.recordings, spec, scored_bands, share)
    model = SoundModel(
        graph.cpu(),
        spec,
        data.span_s,
        choice,
        head,
        calibration,
        capture,
        data.operation,
        learned.channels.peaks,
    )
    first = data.recordings[0]
    sample_db = first.windows(spec)[: data.span_windows]
    samples = np.ascontiguousarray(first.window_samples(spec)[: len(sample_db)])
    provenance = {
        **provenance_of(request, data, choice, sound.n_regimes, held_out),
        **controls_record(controls, benefit),
        **recall.record(calibration),
        "day_variation": learned.variation.record(),
        "training_set": findings.to_dict(),
    }
    previous = None
    if request.keep_previous and (request.out / MANIFEST).exists():
        previous = keep_previous(request.out)
    bundle = write_bundle(request.out, model, sample_db, samples, provenance)
    continued = data.continued
    return AudioResult(
        bundle=bundle,
        previous=previous,
        choice=choice,
        variation=learned.variation,
        history=learned.history,
        names=tuple(recording.name for recording in data.recordings),
        files=tuple(recording.file for recording in data.recordings),
        healthy=tuple(healthy),
        healthy_before=tuple(healthy_before),
        threshold_before=continued.calibration.threshold if continued else None,
        findings=findings,
        controls=tuple(controls),
        recall=recall,
        network_benefit=benefit,
        n_regimes=sound.n_regimes,
        sample_db=sample_db[0],
        reconstruction_db=reconstruct_db(graph, sample_db[:1])[0],
    )


def _final_head(learned: ScoredNetwork, data: TrainingData, seed: int) -> Head:
    sound, choice, heads, fold = learned.sound, learned.choice, learned.heads, learned.trial.fold
    if not heads[0].head.is_distance:
        return heads[0].head
    everything = np.ones(len(sound.recordings), dtype=bool)
    statistics = fit_statistics(sound, everything, use_references=choice.use_references)
    file = [recording.file for recording in data.recordings]
    by_file = heads if are_apart(file, fold) else heads_of(sound, np.array(file), choice)
    head = with_references(statistics.head(choice.shrinkage), sound, file, by_file, seed)
    return replace(
        head,
        healthy=healthy_sample(sound, file, head, data.spec),
        local_weight=heads[0].head.local_weight,
        local_limit=heads[0].head.local_limit,
    )


def _warn_without_references(head: Head, request: AudioRequest, data: TrainingData) -> None:
    """Warn that the bundle cannot distinguish the machine from its reference machines."""
    if len(head.references):
        return
    if request.references:
        logger.warning(
            "The bundle cannot recognise the reference machines: it would need at least "
            "3 recordings and a score other than plain"
        )
    elif data.continued and len(data.continued.head.references):
        logger.warning(
            "The new bundle cannot recognise reference machines, although %s can. "
            "To keep this, give --reference again",
            data.continued.path,
        )
