"""A trained network, with the scores of its healthy recordings by statistics made without them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from monitor.calibration.threshold import HealthyRecording
from monitor.model.encoder import Encoder
from training.history import FitResult, TrainingProgress
from training.sound.bundle import network_of
from training.sound.channel_training import Channels, with_channels
from training.sound.controls import Trial, heads_of
from training.sound.crossfit import FoldHead, HealthySound, gather, head_for
from training.sound.encoder_file import (
    EncoderFile,
    Encoding,
    begin_encoding,
    encoder_of,
    vector_length,
)
from training.sound.evidence_graph import EvidenceGraph
from training.sound.local_distance import with_local_distance
from training.sound.network_training import split_recordings, train_network
from training.sound.recording_days import days_of
from training.sound.recording_evidence import (
    RecordingEvidence,
    all_rows,
    encoded,
    evidence_of,
    score_evidence,
)
from training.sound.recordings import Recording, are_apart, folds_of_files
from training.sound.request import AudioRequest, TrainingData
from training.sound.score_choice import Choice, choose_score
from training.sound.section_spectra import SectionSpectra, section_spectra
from training.sound.variation_choice import VariationChoice, choose_variation, day_folds

logger = logging.getLogger(__name__)

CROSS_FIT_FOLDS = 10
_LEAST_RESIDUAL_DEVIATION = 0.02


@dataclass(frozen=True, slots=True)
class ScoredNetwork:
    """A trained network with the evidence and the cross-fitted scores of its recordings."""

    graph: EvidenceGraph
    history: FitResult
    sound: HealthySound
    choice: Choice
    variation: VariationChoice
    trial: Trial
    heads: Sequence[FoldHead]
    channels: Channels

    @property
    def healthy(self) -> list[HealthyRecording]:
        """The recordings, each scored without itself."""
        return self.channels.healthy

    def distances_without_file(self) -> list[HealthyRecording]:
        """The scores by statistics without any section of the same file, and without peaks.

        The weights of peaks depend on the largest distance, which may be that of an outlier.
        """
        file = [recording.file for recording in self.trial.recordings]
        if are_apart(file, self.trial.fold):
            return _cross_fitted(self.sound, self.trial, self.heads)
        heads = heads_of(self.sound, np.array(file), self.choice)
        return _cross_fitted(self.sound, self.trial, heads)


def train_and_score(
    request: AudioRequest,
    data: TrainingData,
    device: torch.device,
    progress: Sequence[TrainingProgress],
) -> ScoredNetwork:
    """Train the network, choose the score, and score every recording without itself."""
    spec, span_windows, seed = data.spec, data.span_windows, request.seed
    n_numbers = _vector_length(data.encoder, data) if data.encoder is not None else 0
    graph, history = _learn(request, data, device, progress)
    evidence = [evidence_of(graph, recording, spec, device) for recording in data.recordings]
    reference_evidence = [
        [evidence_of(graph, recording, spec, device) for recording in machine]
        for machine in data.references
    ]
    _set_residual_scale(graph, evidence, span_windows)
    if data.encoder is not None:
        levels_db = np.concatenate([one.level_db for one in evidence])
        graph.encoding = begin_encoding(data.encoder, spec, n_numbers, levels_db)
        evidence = _encoded(evidence, data.recordings, data, graph.encoding)
        reference_evidence = [
            _encoded(one, machine, data, graph.encoding)
            for one, machine in zip(reference_evidence, data.references, strict=True)
        ]
    sound = gather(evidence, reference_evidence, span_windows, parts=graph.parts, seed=seed)
    if graph.encoding is not None:
        least = graph.encoding.least_variance(all_rows(evidence))
        sound = replace(sound, least_variance=least)
    choice = choose_score(sound, seed, request.score)
    sound, variation = _with_day_variation(sound, choice, request, data, graph=graph, device=device)
    fold = folds_of_files([one.file for one in data.recordings], CROSS_FIT_FOLDS, seed)
    trial = Trial(graph, spec, span_windows, device, seed, data.recordings, fold)
    rule = request.settings.detector.persistence(
        span_s=spec.seconds_of(span_windows), hop_s=spec.window_hop_s
    )
    heads = with_local_distance(heads_of(sound, fold, choice), sound, spec, span_windows, rule)
    channels = with_channels(
        _cross_fitted(sound, trial, heads),
        sound,
        heads,
        trial,
        _section_spectra(data),
        min_fault_s=request.settings.detector.min_fault_s,
    )
    return ScoredNetwork(graph, history, sound, choice, variation, trial, heads, channels)


def _vector_length(file: EncoderFile, data: TrainingData) -> int:
    """The length of the vector of the first window, if the encoder can be used."""
    first, spec = data.recordings[0], data.spec
    samples = first.window_samples(spec)
    return vector_length(file, spec, first.windows(spec)[0], samples[0] if len(samples) else None)


def _encoded(
    evidence: Sequence[RecordingEvidence],
    recordings: Sequence[Recording],
    data: TrainingData,
    encoding: Encoding,
) -> list[RecordingEvidence]:
    return [
        encoded(one, recording, data.spec, encoding)
        for one, recording in zip(evidence, recordings, strict=True)
    ]


def _section_spectra(data: TrainingData) -> SectionSpectra | None:
    """Access to the spectra of the recordings; None where the features have none."""
    paths = {file.file: file.path for file in data.files}
    return section_spectra(data.recordings, [paths[one.file] for one in data.recordings], data.spec)


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
        start=(
            network_of(data.continued, request.settings.training.network)
            if data.continued
            else None
        ),
        scored_bands=data.scored_bands,
        progress=progress,
    )
    return EvidenceGraph(network).to(device).eval(), history


def _with_day_variation(
    sound: HealthySound,
    choice: Choice,
    request: AudioRequest,
    data: TrainingData,
    *,
    graph: EvidenceGraph,
    device: torch.device,
) -> tuple[HealthySound, VariationChoice]:
    """The sound with the variation between days that fits it, and what was chosen."""
    if not request.settings.training.day_variation:
        return sound, VariationChoice("switched off by day_variation in [training]")
    if choice.kind == "plain":
        return sound, VariationChoice("none, because the plain error has no covariance")
    try:
        from training.sound.day_variation import (  # noqa: PLC0415 - loads torchaudio
            changes_to_try,
            day_variation,
        )
    except (ImportError, OSError, RuntimeError) as error:
        logger.warning("no variation between days: torchaudio cannot be loaded: %s", error)
        return sound, VariationChoice("none, because torchaudio cannot be loaded")
    paths = {file.file: file.path for file in data.files}
    files = [paths[recording.file] for recording in data.recordings]
    day_fold = day_folds(days_of(files), request.seed)
    changes = changes_to_try(every_size=day_fold is not None)
    measured = day_variation(
        graph, data.recordings, files, data.spec, changes, seed=request.seed, device=device
    )
    if measured is None:
        return sound, VariationChoice("none, because there is no sound to alter, only log-mel")
    chosen, variation = choose_variation(
        sound, measured, changes, choice, day_fold=day_fold, seed=request.seed
    )
    return replace(sound, variation=chosen), variation


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


def scores_before(
    request: AudioRequest, data: TrainingData, device: torch.device
) -> list[HealthyRecording]:
    """The scores of the new recordings with the bundle that is continued.

    Empty without one, and if it has another encoder: the sound may lack what that needs.
    """
    bundle = data.continued
    if bundle is None:
        return []
    encoder = encoder_of(bundle)
    if encoder is not None and (data.encoder is None or data.encoder.content != encoder.content):
        return []
    network = network_of(bundle, request.settings.training.network)
    graph = EvidenceGraph(network).to(device).eval()
    if encoder is not None and bundle.manifest.encoder is not None:
        spec = bundle.manifest.encoder
        graph.encoding = Encoding(encoder, spec, Encoder(encoder.model, spec, data.spec))
    return [
        score_evidence(
            evidence_of(graph, recording, data.spec, device),
            data.spec,
            data.span_windows,
            bundle.head,
        )
        for recording in data.recordings
    ]
