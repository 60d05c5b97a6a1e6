"""Controls show whether the network helps: the same recordings are also scored without it.

Three scores are compared on the same small disturbances of held-out healthy recordings: the
chosen one, the plain reconstruction error, and the same distance without a network, on the
averaged log-mel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.head import LossHead
from monitor.model.manifest import ScoreKind
from monitor.model.recording_score import BLOCK_S
from monitor.text.wording import counted
from training.metrics import roc_auc
from training.sound.crossfit import FoldHead, HealthySound, fold_heads, head_for
from training.sound.disturbances import DISTURBANCES, Disturbance, disturbed
from training.sound.evidence_graph import EvidenceGraph
from training.sound.recording_evidence import RecordingEvidence, evidence_of, score_evidence
from training.sound.recordings import Recording
from training.sound.score_choice import Choice

_MOST_RECORDINGS = 48
_LEAST_GAIN = 0.005
_CERTAIN = 8

EvidenceOf = Callable[[Recording], RecordingEvidence]


@dataclass(frozen=True, slots=True)
class Control:
    """One score and how well it separates disturbed from undisturbed recordings.

    ``auc``: ROC AUC by name of the disturbance. ``kind``: the kind of the score.
    """

    name: str
    kind: ScoreKind
    auc: dict[str, float]

    @property
    def mean_auc(self) -> float:
        """The mean over the disturbances."""
        return float(np.mean(list(self.auc.values())))


@dataclass(frozen=True, slots=True)
class Scoring:
    """A score for the controls: the evidence of a recording, and a head for each fold."""

    name: str
    kind: ScoreKind
    evidence_of: EvidenceOf
    heads: Sequence[FoldHead]


@dataclass(frozen=True, slots=True)
class Trial:
    """What all scores share: the machine's recordings, their folds, the graph."""

    graph: EvidenceGraph
    spec: LogMelSpec
    span_windows: int
    device: torch.device
    seed: int
    recordings: Sequence[Recording]
    fold: npt.NDArray[np.intp]

    def evidence_of(self, recording: Recording) -> RecordingEvidence:
        """The evidence from the network."""
        return evidence_of(self.graph, recording, self.spec, self.device)

    def evidence_without_network(self, recording: Recording) -> RecordingEvidence:
        """Spectrum and flutter of the windows themselves."""
        windows = torch.from_numpy(recording.windows(self.spec)[:, None]).to(self.device)
        with torch.no_grad():
            evidence = self.graph.without_network(windows).cpu().numpy()
        unused = np.zeros(len(evidence), dtype=np.float32)
        return RecordingEvidence.of(
            recording, self.spec, evidence=evidence, loss=unused, level_db=unused
        )

    def excerpts(self) -> dict[int, Recording]:
        """The first ten seconds of some of the recordings, by their index."""
        most_frames = round(BLOCK_S * self.spec.frame_rate_hz)
        n_recordings = len(self.recordings)
        chosen = np.linspace(0, n_recordings - 1, min(n_recordings, _MOST_RECORDINGS)).astype(int)
        return {
            int(i): replace(
                self.recordings[i], frames_db=self.recordings[i].frames_db[:most_frames]
            )
            for i in chosen
        }


def compare_scores(scorings: Sequence[Scoring], trial: Trial) -> list[Control]:
    """Every score on the same disturbed recordings, each with a head that was made without it."""
    excerpts = trial.excerpts()
    controls = []
    for scoring in scorings:
        healthy = _scores(scoring, excerpts, trial)
        auc = {}
        for name, disturb in DISTURBANCES.items():
            scores = _scores(scoring, _disturbed(excerpts, disturb, trial), trial)
            labels = np.repeat([0, 1], [len(healthy), len(scores)])
            auc[name] = roc_auc(labels, np.concatenate((healthy, scores)))
        controls.append(Control(scoring.name, scoring.kind, auc))
    return controls


def heads_of(sound: HealthySound, fold: npt.NDArray[np.intp], choice: Choice) -> list[FoldHead]:
    """A head for each fold, of the chosen kind."""
    if choice.kind == "plain":
        return loss_heads(sound)
    return fold_heads(sound, fold, choice.shrinkage, use_references=choice.use_references)


def loss_heads(sound: HealthySound) -> list[FoldHead]:
    """The head of the plain error, which has no statistics to fit and so no folds."""
    n_numbers = sound.recordings[0].evidence.shape[1]
    everything = np.ones(len(sound.recordings), dtype=bool)
    return [FoldHead(everything, LossHead.for_evidence(n_numbers))]


def network_benefit(controls: Sequence[Control], n_recordings: int) -> str:
    """Whether the network helps on this machine, in one or two sentences.

    ``n_recordings``: the number of recordings or sections that were compared. If it is small, the
    text says that the answer is uncertain.
    """
    by_name = {control.name: control for control in controls}
    raw = by_name["no network"].mean_auc
    best = max(c.mean_auc for c in controls if c.name != "no network")
    figures = f"mean AUC {best:.3f} with the network, {raw:.3f} without"
    if best > raw + _LEAST_GAIN:
        answer = f"The network helps: small changes are detected better with it ({figures})"
    elif best > raw - _LEAST_GAIN:
        answer = (
            "The network does not help: without it, small changes are detected equally well "
            f"({figures})"
        )
    else:
        answer = (
            f"The network does not help: small changes are detected better without it ({figures})"
        )
    answer += _encoder_benefit(by_name)
    if n_recordings < _CERTAIN:
        answer += (
            f". This is uncertain, because there are only {counted(n_recordings, 'section')} to "
            "compare"
        )
    return answer


def _encoder_benefit(by_name: dict[str, Control]) -> str:
    """Whether an encoder beside the network helps; empty without one."""
    alone = by_name.get("network alone")
    if alone is None:
        return ""
    both = next(one for name, one in by_name.items() if name.startswith("network and"))
    does = "helps" if both.mean_auc > alone.mean_auc + _LEAST_GAIN else "does not help"
    return (
        f". The encoder {does}: mean AUC {both.mean_auc:.3f} with it, {alone.mean_auc:.3f} with "
        "the network alone"
    )


def _disturbed(
    excerpts: dict[int, Recording], disturb: Disturbance, trial: Trial
) -> dict[int, Recording]:
    return {
        i: disturbed(r, disturb, trial.spec, np.random.default_rng((trial.seed, i)))
        for i, r in excerpts.items()
    }


def _scores(
    scoring: Scoring, excerpts: dict[int, Recording], trial: Trial
) -> npt.NDArray[np.float64]:
    """The score of each excerpt with a head that was made without its recording."""
    scores = []
    for index, excerpt in excerpts.items():
        head = head_for(scoring.heads, index)
        evidence = scoring.evidence_of(excerpt)
        scores.append(score_evidence(evidence, trial.spec, trial.span_windows, head).whole)
    return np.array(scores)
