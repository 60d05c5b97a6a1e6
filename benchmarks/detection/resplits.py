"""Statistics and threshold of the drone from many choices of flights, with one trained network.

Flights are left out of the statistics and the threshold. The network may be trained on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.detection.cases import drone
from benchmarks.detection.evidence import evidence_of_file
from monitor.detection.detector import persistence_of
from monitor.detection.persistent_scores import persistent_scores
from monitor.detection.settings import DetectorSettings
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.offline.recalibrate import calibration_of
from training.sound.controls import heads_of
from training.sound.crossfit import fit_statistics, gather, head_for
from training.sound.evidence_graph import EvidenceLayout
from training.sound.local_distance import with_local_distance
from training.sound.recording_evidence import RecordingEvidence, score_evidence
from training.sound.recordings import folds
from training.sound.score_choice import choose_score
from training.sound.scored_network import CROSS_FIT_FOLDS
from training.sound.train import AudioRequest, train_audio

NEEDED = ("uav_propeller",)
SPLITS = 8
_COLUMNS = (
    "network",
    "lowest, highest threshold",
    "left-out flights above the threshold",
    "broken recordings below the threshold",
)
HEADER = (f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|")


def rows(seeds: int, folder: Path) -> Iterator[str]:
    """A row for each network: ``SPLITS`` random choices of two thirds, a threshold from each."""
    for seed in range(seeds):
        case = next(drone(seed))
        request = AudioRequest(case.train, folder / f"{seed}.bundle", seed=seed)
        bundle = train_audio(request).bundle
        network = Network(bundle)
        flights = [
            evidence_of_file(path, bundle, network) for path in sorted((*case.train, *case.healthy))
        ]
        broken = [evidence_of_file(path, bundle, network) for path in case.faulty]
        results, inside = [], len(case.train)
        for split in range(SPLITS):
            order = np.random.default_rng((seed, split)).permutation(len(flights))
            mixed = [flights[i] for i in order]
            results.append(_evaluated(bundle, mixed[:inside], mixed[inside:], broken, split))
        thresholds, alarms, missed = zip(*results, strict=True)
        yield (
            f"| {seed} | {min(thresholds):.0f}, {max(thresholds):.0f} "
            f"| {sum(alarms)} of {SPLITS * (len(flights) - inside)} "
            f"| {sum(missed)} of {SPLITS * len(broken)} |"
        )


def _evaluated(
    bundle: Bundle,
    inside: Sequence[RecordingEvidence],
    left_out: Sequence[RecordingEvidence],
    broken: Sequence[RecordingEvidence],
    seed: int,
) -> tuple[float, int, int]:
    """The threshold, the left-out flights above it, the broken recordings below it."""
    spec, span = bundle.spec, bundle.span_windows
    rule = persistence_of(bundle, DetectorSettings())
    parts = EvidenceLayout(spec.n_mels).parts
    sound = gather(inside, [], span, parts=parts, seed=seed)
    choice = choose_score(sound, seed, bundle.manifest.score.kind)
    fold = folds(len(inside), CROSS_FIT_FOLDS, seed)
    heads = with_local_distance(heads_of(sound, fold, choice), sound, spec, span, rule)
    healthy = [
        score_evidence(flight, spec, span, head_for(heads, index))
        for index, flight in enumerate(inside)
    ]
    threshold = calibration_of(bundle, healthy, rule, false_alarms_per_week=1.0).threshold
    head = heads[0].head
    if head.is_distance:
        everything = np.ones(len(inside), dtype=bool)
        statistics = fit_statistics(sound, everything, use_references=False)
        weighted = heads[0].head
        head = replace(
            statistics.head(choice.shrinkage),
            local_weight=weighted.local_weight,
            local_limit=weighted.local_limit,
        )

    def passes(recording: RecordingEvidence) -> bool:
        scores = score_evidence(recording, spec, span, head).scores
        return bool(persistent_scores(scores, rule).max() > threshold)

    return threshold, sum(map(passes, left_out)), sum(not passes(one) for one in broken)
