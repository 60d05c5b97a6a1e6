"""What the network adds: the same recordings scored without it, in the same run.

Three scores hear the same small disturbances of left-out healthy recordings: the one that
was chosen, the plain reconstruction error, and the same distance on the averaged log-mel
with no network at all.
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
from training.metrics import roc_auc
from training.sound.crossfit import FoldHead, HealthySound, fold_heads, gather, head_for
from training.sound.disturbances import DISTURBANCES, Disturbance
from training.sound.evidence_graph import EvidenceGraph
from training.sound.recording_evidence import Heard, hear, heard_of, score_heard
from training.sound.recordings import Recording
from training.sound.score_choice import Choice, choose_score

_MOST_RECORDINGS = 48
_WORTH = 0.005

Hear = Callable[[Recording], Heard]


@dataclass(frozen=True, slots=True)
class Control:
    """One score and how well it tells disturbed recordings from undisturbed ones.

    ``auc``: by name of the disturbance. ``kind``: what the score is made like.
    """

    name: str
    kind: ScoreKind
    auc: dict[str, float]

    @property
    def mean_auc(self) -> float:
        """Over the disturbances."""
        return float(np.mean(list(self.auc.values())))


@dataclass(frozen=True, slots=True)
class Scoring:
    """A score as the controls need it: how a recording is heard, and a head for each fold."""

    name: str
    kind: ScoreKind
    hear: Hear
    heads: list[FoldHead]


@dataclass(frozen=True, slots=True)
class Trial:
    """What all scores share: the machine's recordings, their folds, how they are heard."""

    graph: EvidenceGraph
    spec: LogMelSpec
    span_windows: int
    device: torch.device
    seed: int
    recordings: Sequence[Recording]
    fold: npt.NDArray[np.intp]

    def hear(self, recording: Recording) -> Heard:
        """Through the network."""
        return hear(self.graph, recording, self.spec, self.device)

    def hear_without_network(self, recording: Recording) -> Heard:
        """Spectrum and flutter of the windows themselves."""
        windows = torch.from_numpy(recording.windows(self.spec)[:, None]).to(self.device)
        with torch.no_grad():
            evidence = self.graph.without_network(windows).cpu().numpy()
        nothing = np.zeros(len(evidence), dtype=np.float32)
        return heard_of(recording, self.spec, evidence=evidence, loss=nothing, level_db=nothing)

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
    """Every score on the same disturbed recordings, each by a head that did not see it."""
    excerpts = trial.excerpts()
    controls = []
    for scoring in scorings:
        healthy = _scores(scoring, excerpts, trial)
        auc = {}
        for name, disturb in DISTURBANCES.items():
            scores = _scores(scoring, _disturbed(excerpts, disturb, trial.seed), trial)
            labels = np.repeat([0, 1], [len(healthy), len(scores)])
            auc[name] = roc_auc(labels, np.concatenate((healthy, scores)))
        controls.append(Control(scoring.name, scoring.kind, auc))
    return controls


def without_network(
    trial: Trial,
    references: Sequence[Sequence[Recording]],
    regime: Sequence[npt.NDArray[np.intp]],
    wanted: ScoreKind | None,
) -> Scoring:
    """The control that needs no network: the same regimes, its estimate by the same rule."""
    hear_raw = trial.hear_without_network
    sound = gather(
        [hear_raw(recording) for recording in trial.recordings],
        [[hear_raw(recording) for recording in machine] for machine in references],
        trial.span_windows,
        parts=trial.graph.layout.parts_without_network,
        seed=trial.seed,
        regime=regime,
    )
    choice = choose_score(sound, trial.seed, None if wanted == "plain" else wanted)
    if choice.kind == "plain":
        choice = replace(choice, kind="diagonal")
    return Scoring("no network", choice.kind, hear_raw, heads_of(sound, trial.fold, choice))


def with_network(trial: Trial, sound: HealthySound, choice: Choice) -> list[Scoring]:
    """The chosen score, and the plain error beside it where that is not the chosen one."""
    plain = Scoring("plain error", "plain", trial.hear, loss_heads(sound))
    heads = heads_of(sound, trial.fold, choice)
    if not heads[0].head.is_distance:
        return [plain]
    return [Scoring(f"network, {choice.kind}", choice.kind, trial.hear, heads), plain]


def heads_of(sound: HealthySound, fold: npt.NDArray[np.intp], choice: Choice) -> list[FoldHead]:
    """A head for each fold, as chosen."""
    if choice.kind == "plain":
        return loss_heads(sound)
    return fold_heads(sound, fold, choice.shrinkage, use_references=choice.use_references)


def loss_heads(sound: HealthySound) -> list[FoldHead]:
    """The head of the plain error, which has no statistics to fit and so no folds."""
    n_numbers = sound.recordings[0].evidence.shape[1]
    everything = np.ones(len(sound.recordings), dtype=bool)
    return [FoldHead(everything, LossHead.for_evidence(n_numbers))]


def verdict(controls: Sequence[Control]) -> str:
    """In words, whether the network earns its place on this machine."""
    by_name = {control.name: control for control in controls}
    raw = by_name["no network"].mean_auc
    best = max(c.mean_auc for c in controls if c.name != "no network")
    if best > raw + _WORTH:
        return f"the network adds to this machine's score: AUC {best:.3f} against {raw:.3f} without"
    return f"the network adds nothing on this machine: AUC {best:.3f} against {raw:.3f} without it"


def _disturbed(
    excerpts: dict[int, Recording], disturb: Disturbance, seed: int
) -> dict[int, Recording]:
    return {
        i: replace(r, frames_db=disturb(r.frames_db, np.random.default_rng((seed, i))))
        for i, r in excerpts.items()
    }


def _scores(
    scoring: Scoring, excerpts: dict[int, Recording], trial: Trial
) -> npt.NDArray[np.float64]:
    """The score of each excerpt by a head that was made without its recording."""
    scores = []
    for index, excerpt in excerpts.items():
        head = head_for(scoring.heads, index)
        heard = scoring.hear(excerpt)
        scores.append(score_heard(heard, trial.spec, trial.span_windows, head).whole)
    return np.array(scores)
