"""Measure the lowest level at which faults are detected: AUC against the level of the fault.

    python -m benchmarks.detection.sensitivity [--seeds 3]

Healthy recordings that were not trained on are scored without and with a fault that is mixed in
over their whole length, from -30 to +6 dB relative to the machine's level: simulated faults, and
clock ticks. The score is compared with the plain error of the same network and with the control
without a network.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks._page import write_section
from benchmarks.detection.cases import Case, all_cases
from benchmarks.detection.command import run
from benchmarks.detection.control import SpectrumDistance, spectrum_of
from benchmarks.detection.injection import PIECE_S, Piece, in_pieces, pieces_of
from benchmarks.detection.judge import whole_score
from benchmarks.detection.mixing import FAULTS, noises, simulated_fault
from monitor.domain import FloatArray
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from training.metrics import roc_auc
from training.sound.recordings import Recording
from training.sound.train import AudioRequest, train_audio

NEEDED = ("esc10_noise", "uav_propeller", "desk_fan", "bldc_motor", "toycar")
GROUPS = ("drone", "desk fan", "motor, 40 s and reference", "toycar, with reference")
LEVELS_DB = tuple(range(-30, 7, 6))
SCORES = ("auscult", "plain error", "no network")
WANTED_AUC = 0.9

Curve = npt.NDArray[np.float64]
"""AUC by level. Shape: ``(n_levels,)``."""
Curves = dict[tuple[str, str], Curve]
"""By kind of fault and score."""


class Scores:
    """The three scores of a piece of sound."""

    def __init__(self, case: Case, bundle: Bundle) -> None:
        self._bundle, self._network = bundle, Network(bundle)
        self._control = SpectrumDistance(case, bundle.spec, in_pieces)

    def scores(self, frames_db: FloatArray) -> tuple[float, float, float]:
        """The score, the plain error, the distance of the mean spectrum."""
        windows_db = Recording("piece", frames_db).windows(self._bundle.spec)
        output = self._network.run(windows_db)
        return (
            whole_score(output.evidence, output.loss, self._bundle),
            float(output.loss.mean()),
            self._control.of(spectrum_of(frames_db)),
        )


def cases(scratch: Path, seed: int) -> Iterator[Case]:
    """Every case of ``GROUPS``, with all folds of a machine."""
    return (case for case in all_cases(scratch, seed) if case.group in GROUPS)


def faults() -> dict[str, list[FloatArray]]:
    """The sounds of each kind of fault."""
    simulated = {kind: [simulated_fault(kind, PIECE_S, s) for s in range(3)] for kind in FAULTS}
    return {**simulated, "clock ticks": [np.tile(tick, 3) for tick in noises("clock_tick")]}


def curves(
    healthy: Sequence[Piece], scoring: Scores, sounds: dict[str, list[FloatArray]]
) -> Curves:
    """Every piece of healthy sound with every kind of fault at every level."""
    clean = np.array([scoring.scores(piece.frames_db) for piece in healthy])
    labels = np.repeat([0, 1], len(healthy))
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for kind, kept in sounds.items():
        for level_db in LEVELS_DB:
            mixed = np.array(
                [
                    scoring.scores(piece.with_sound(kept[i % len(kept)], level_db))
                    for i, piece in enumerate(healthy)
                ]
            )
            for i, score in enumerate(SCORES):
                auc = roc_auc(labels, np.concatenate((clean[:, i], mixed[:, i])))
                found[kind, score].append(auc)
    return {key: np.array(aucs) for key, aucs in found.items()}


def level_reached_db(aucs: Curve) -> float:
    """The level at which the curve reaches an AUC of 0.9, by linear interpolation.

    Infinity if it never does, minus infinity if it does at the lowest level.
    """
    above = np.flatnonzero(aucs >= WANTED_AUC)
    if not above.size:
        return float("inf")
    first = int(above[0])
    if first == 0:
        return float("-inf")
    low, high = aucs[first - 1], aucs[first]
    share = (WANTED_AUC - low) / (high - low)
    return float(LEVELS_DB[first - 1] + share * (LEVELS_DB[first] - LEVELS_DB[first - 1]))


def mean_curves(runs: Sequence[Curves]) -> Curves:
    """The mean AUC at every level; empty without runs."""
    keys = runs[0] if runs else ()
    return {key: np.mean([run[key] for run in runs], axis=0) for key in keys}


def reached_table(by_machine: dict[str, Curves]) -> str:
    """The level at which each score reaches an AUC of 0.9, a row for each machine and fault."""
    lines = [
        f"| machine | fault | {' | '.join(SCORES)} | gain over the plain error |",
        "|---" * (len(SCORES) + 3) + "|",
    ]
    for group, mean in by_machine.items():
        for kind in dict.fromkeys(kind for kind, _ in mean):
            levels = [level_reached_db(mean[kind, score]) for score in SCORES]
            cells = [*map(_level, levels), _gain(levels[0], levels[1])]
            lines.append(f"| {group} | {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def curve_table(curves_by_key: Curves) -> str:
    """AUC by level, a row for each fault and score."""
    lines = [
        f"| fault | score | {' | '.join(f'{level} dB' for level in LEVELS_DB)} |",
        "|---" * (len(LEVELS_DB) + 2) + "|",
    ]
    for (kind, score), aucs in curves_by_key.items():
        lines.append(f"| {kind} | {score} | {' | '.join(f'{auc:.2f}' for auc in aucs)} |")
    return "\n".join(lines)


def with_all_kinds(by_kind: Curves) -> Curves:
    """The curves, and their mean over all kinds of fault."""
    kinds = dict.fromkeys(kind for kind, _ in by_kind)
    mean = {("all", s): np.mean([by_kind[kind, s] for kind in kinds], axis=0) for s in SCORES}
    return {**by_kind, **mean}


def _level(level_db: float) -> str:
    if level_db == float("-inf"):
        return f"below {LEVELS_DB[0]} dB"
    return "never" if level_db == float("inf") else f"{level_db:.1f} dB"


def _gain(ours_db: float, plain_db: float) -> str:
    """The difference of the levels, or a bound if one is outside the measured levels."""
    if ours_db == plain_db and not np.isfinite(ours_db):
        return "both below" if ours_db < 0 else "neither"
    bounded = np.clip([plain_db, ours_db], LEVELS_DB[0], LEVELS_DB[-1])
    bound = ""
    if ours_db == float("-inf") or plain_db == float("inf"):
        bound = "more than "
    elif ours_db == float("inf") or plain_db == float("-inf"):
        bound = "less than "
    return f"{bound}{bounded[0] - bounded[1]:.1f} dB"


def measure(seeds: int) -> None:
    """Measure, print, and write to the documentation."""
    by_group: dict[str, list[Curves]] = defaultdict(list)
    n_pieces: dict[str, int] = defaultdict(int)
    sounds = faults()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(seeds):
            for number, case in enumerate(cases(folder, seed)):
                out = folder / f"{seed}-{number}.bundle"
                request = AudioRequest(case.train, out, references=case.references, seed=seed)
                bundle = train_audio(request).bundle
                healthy = pieces_of(case.healthy, bundle.spec)
                n_pieces[case.group] += len(healthy)
                by_group[case.group].append(curves(healthy, Scores(case, bundle), sounds))
    by_machine = {group: with_all_kinds(mean_curves(runs)) for group, runs in by_group.items()}
    counted = ", ".join(f"{group} {n}" for group, n in n_pieces.items())
    by_machine["all"] = mean_curves(list(by_machine.values()))
    head = f"{seeds} seeds; healthy pieces, all seeds together: {counted}."
    text = "\n\n".join(
        (
            f"{head} The level at which the mean AUC is 0.9:",
            reached_table(by_machine),
            "AUC by level, mean of the machines:",
            curve_table(by_machine["all"]),
        )
    )
    print(text)
    write_section("sensitivity", text)


if __name__ == "__main__":
    run(__doc__, NEEDED, measure)
