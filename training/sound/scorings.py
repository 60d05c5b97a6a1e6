"""The scores that the controls compare: with the network, with an encoder, and with neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from monitor.model.manifest import ScoreKind
from training.sound.controls import Scoring, Trial, heads_of, loss_heads
from training.sound.crossfit import FoldHead, HealthySound, gather
from training.sound.recording_evidence import RecordingEvidence
from training.sound.recordings import Recording
from training.sound.score_choice import Choice, choose_score

ENCODER = "encoder"


def without_network(
    trial: Trial,
    references: Sequence[Sequence[Recording]],
    regime: Sequence[npt.NDArray[np.intp]],
    wanted: ScoreKind | None,
) -> Scoring:
    """The control without a network: the same regimes, and shrinkage chosen by the same rule."""
    raw_evidence = trial.evidence_without_network
    sound = gather(
        [raw_evidence(recording) for recording in trial.recordings],
        [[raw_evidence(recording) for recording in machine] for machine in references],
        trial.span_windows,
        parts=trial.graph.layout.parts_without_network,
        seed=trial.seed,
        regime=regime,
    )
    choice = choose_score(sound, trial.seed, None if wanted == "plain" else wanted)
    if choice.kind == "plain":
        choice = replace(choice, kind="diagonal")
    return Scoring("no network", choice.kind, raw_evidence, heads_of(sound, trial.fold, choice))


def with_network(
    sound: HealthySound, choice: Choice, trial: Trial, heads: Sequence[FoldHead]
) -> list[Scoring]:
    """The chosen score with its ``heads``, and the plain error unless that is the chosen one.

    With an encoder beside the network, also each kind of evidence alone.
    """
    plain = Scoring("plain error", "plain", trial.evidence_of, loss_heads(sound))
    if not heads[0].head.is_distance:
        return [plain]
    name, alone = "network", []
    encoding = trial.graph.encoding
    if encoding is not None and encoding.spec.evidence == "encoder":
        name = ENCODER
    elif encoding is not None:
        name, own = f"network and {ENCODER}", trial.graph.layout
        vector = slice(own.length, own.length + encoding.spec.n_numbers)
        alone = [
            _part_alone("network alone", slice(0, own.length), own.parts, sound, trial),
            _part_alone(
                f"{ENCODER} alone", vector, (slice(0, encoding.spec.n_numbers),), sound, trial
            ),
        ]
    chosen = Scoring(f"{name}, {choice.kind}", choice.kind, trial.evidence_of, heads)
    return [chosen, *alone, plain]


def _part_alone(
    name: str, numbers: slice, parts: Sequence[slice], sound: HealthySound, trial: Trial
) -> Scoring:
    """The score of some numbers of the evidence, chosen by the same rule."""

    def only(one: RecordingEvidence) -> RecordingEvidence:
        return replace(one, evidence=one.evidence[:, numbers], rows=one.rows[:, numbers])

    reduced = gather(
        [only(one) for one in sound.recordings],
        [[only(one) for one in machine] for machine in sound.references],
        trial.span_windows,
        parts=parts,
        seed=trial.seed,
        regime=sound.regime,
    )
    if sound.least_variance is not None:
        reduced = replace(reduced, least_variance=sound.least_variance[numbers])
    choice = choose_score(reduced, trial.seed)
    if choice.kind == "plain":
        choice = replace(choice, kind="diagonal")
    heads = heads_of(reduced, trial.fold, choice)
    return Scoring(name, choice.kind, lambda recording: only(trial.evidence_of(recording)), heads)
