"""A folder of ordinary frames: which frames do not fit, and where."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.errors import BadInputError, UsageError
from monitor.text.escaping import csv_cell
from training.images.anomaly_score import NoveltyScorer
from training.images.figures import save_error_maps, save_grid, save_histogram
from training.images.folder import split_frames
from training.images.image_set import ImageSet
from training.images.oneclass import train_novelty
from training.images.outputs import finish_run, open_output, table, verdict, write_run
from training.images.pca import fit_pca
from training.images.reconstruction import density_metrics
from training.images.train import ImageSettings
from training.loop import FitResult

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]
OTHER_HALF = "other-half"
_N_SHOWN = 10


@dataclass(frozen=True, slots=True)
class FrameReport:
    """Frames ranked by how little they fit, and the run's figures (``metrics.json``)."""

    ranking: tuple[tuple[str, float, bool], ...]
    metrics: Mapping[str, Any]

    def table(self) -> str:
        """Return the table that the command prints: the frames that do not fit."""
        m = self.metrics
        unfit = [(name, f"{score:8.2f}") for name, score, is_unfit in self.ranking if is_unfit]
        limit = f"score above {m['threshold']:.2f}, {m['false_alarm_rate']:.1%} of ordinary frames"
        lines = [f"{m['n_unfit']} of {m['n_frames']} frames do not fit ({limit})"]
        if unfit:
            lines.append(table(unfit[: 2 * _N_SHOWN]))
        word = verdict(m["held_out_mse"], m["pca_mse"], higher_is_better=False)
        rows = [
            ("held-out MSE per element", f"{m['held_out_mse']:.5f}  ({word})"),
            (f"PCA-{m['pca_components']}", f"{m['pca_mse']:.5f}"),
        ]
        return "\n".join([*lines, table(rows)])


def find_unfit_frames(
    ordinary: ImageSet,
    others: ImageSet | None,
    settings: ImageSettings,
    out: Path,
    *,
    false_alarm_rate: float = 0.01,
    with_density: bool = False,
    tensorboard: bool = False,
) -> FrameReport:
    """Train on ``ordinary`` frames, judge ``others`` and write everything to ``out``.

    Without ``others`` the ordinary frames themselves are judged, each half by a network trained on
    the other half (the second one's files are in ``other-half``), because a network knows by heart
    what it was trained on. The threshold is the score that a share ``false_alarm_rate`` of ordinary
    frames would exceed if scores were normal, with the median and the median deviation of frames
    not trained on, which a few unfit ones among them do not move.

    ``frames.csv`` has ``file,score,threshold,anomalous``, the worst first; ``frames.png`` shows the
    worst with maps of their error.
    """
    started = time.monotonic()
    if not 0 < false_alarm_rate < 0.5:
        raise UsageError(f"false-alarm rate {false_alarm_rate}; it must be between 0 and .5")
    if others is not None and others.shape != ordinary.shape:
        raise BadInputError(
            f"{others.names[0]}: frames of {others.shape} (channels, height, width) to judge, "
            f"{ordinary.shape} to learn from"
        )
    folder = open_output(out)
    first, second = (
        _halves(ordinary, settings.seed)
        if others is None
        else split_frames(ordinary, settings.seed)
    )
    run = _Run(settings, folder, tensorboard)
    scorer, result = run.train(first)
    rebuilt = scorer.model.reconstruct(second.scaled())
    judged = (
        _judge_itself(run, scorer, first, second)
        if others is None
        else _judge(scorer, others, scorer.score(second.scaled()).combined)
    )
    threshold = robust_threshold(judged.held_out, false_alarm_rate)
    unfit = judged.scores > threshold
    order = np.argsort(-judged.scores)
    ranking = tuple(
        (judged.frames.names[i], float(judged.scores[i]), bool(unfit[i])) for i in order
    )
    metrics: dict[str, Any] = {
        "n_frames": len(judged.frames),
        "n_unfit": int(unfit.sum()),
        "threshold": threshold,
        "false_alarm_rate": false_alarm_rate,
        "held_out_mse": float(np.square(rebuilt - second.scaled()).mean()),
        **_pca(first, second.scaled(), settings.latent_dim),
        "latent_dim": settings.latent_dim,
        "architecture": settings.architecture,
        "parameters": scorer.model.n_parameters,
        "seed": settings.seed,
    }
    if with_density:
        metrics |= density_metrics(scorer.density, scorer.model.encode(second.scaled()))
        samples = scorer.model.decode(scorer.density.sample(100))
        save_grid(folder / "samples.png", samples, n_columns=10)
    write_run(folder, scorer.model, result)
    _write_ranking(folder / "frames.csv", ranking, threshold)
    _write_figures(folder, judged, order[:_N_SHOWN], threshold)
    metrics["seconds"] = time.monotonic() - started + run.earlier_seconds
    finish_run(folder, metrics, folder / OTHER_HALF)
    return FrameReport(ranking, metrics)


@dataclass(slots=True)
class _Run:
    """Where and how the one or two networks of a run are trained."""

    settings: ImageSettings
    folder: Path
    tensorboard: bool
    earlier_seconds: float = 0.0

    def train(self, frames: ImageSet, part: str = ".") -> tuple[NoveltyScorer, FitResult]:
        """Train on ``frames``, in the subfolder ``part``."""
        scorer, result = train_novelty(
            frames,
            self.settings,
            folder=open_output(self.folder / part),
            keep_checkpoint=True,
            tensorboard=self.tensorboard,
        )
        self.earlier_seconds += result.earlier_seconds
        return scorer, result


@dataclass(frozen=True, slots=True)
class _Judged:
    """Frames with their scores and reconstructions, and the scores of ordinary frames that no
    network was trained on."""

    frames: ImageSet
    scores: DoubleArray
    rebuilt: FloatArray
    held_out: DoubleArray


def _judge(scorer: NoveltyScorer, frames: ImageSet, held_out: DoubleArray) -> _Judged:
    x = frames.scaled()
    return _Judged(frames, scorer.score(x).combined, scorer.model.reconstruct(x), held_out)


def _judge_itself(run: _Run, scorer: NoveltyScorer, first: ImageSet, second: ImageSet) -> _Judged:
    """Judge the second half by ``scorer``, trained on the first one, and the first one in turn."""
    mirror, result = run.train(second, OTHER_HALF)
    write_run(run.folder / OTHER_HALF, mirror.model, result)
    pairs = ((scorer, second.scaled()), (mirror, first.scaled()))
    scores = np.concatenate([judge.score(x).combined for judge, x in pairs])
    rebuilt = np.concatenate([judge.model.reconstruct(x) for judge, x in pairs])
    return _Judged(_joined(second, first), scores, rebuilt, held_out=scores)


def _write_figures(
    folder: Path, judged: _Judged, worst: NDArray[np.int64], threshold: float
) -> None:
    frames = judged.frames.take(worst)
    titles = [
        f"{_short(Path(name).name)}\nscore {score:.3g}"
        for name, score in zip(frames.names, judged.scores[worst], strict=True)
    ]
    save_error_maps(folder / "frames.png", frames.scaled(), judged.rebuilt[worst], titles)
    groups = {"scored frames": judged.scores}
    if judged.held_out is not judged.scores:
        groups["ordinary frames, not trained on"] = judged.held_out
    save_histogram(folder / "score.png", groups, "score", threshold=threshold)


def _short(name: str) -> str:
    """A file name that fits over a small picture: its end tells frames apart."""
    return name if len(name) <= 13 else f"...{name[-11:]}"


def robust_threshold(scores: NDArray[np.float64], false_alarm_rate: float) -> float:
    """Return what a share ``false_alarm_rate`` of normally distributed scores would exceed."""
    median = float(np.median(scores))
    deviation = 1.4826 * float(np.median(np.abs(scores - median)))
    return median + NormalDist().inv_cdf(1.0 - false_alarm_rate) * deviation


def _halves(frames: ImageSet, seed: int) -> tuple[ImageSet, ImageSet]:
    if len(frames) < 8:
        raise BadInputError(f"{len(frames)} frames; at least 8 are needed")
    order = np.random.default_rng([seed, 2]).permutation(len(frames))
    return frames.take(np.sort(order[::2])), frames.take(np.sort(order[1::2]))


def _joined(a: ImageSet, b: ImageSet) -> ImageSet:
    pixels, labels = np.concatenate([a.pixels, b.pixels]), np.concatenate([a.labels, b.labels])
    return ImageSet(pixels, labels, a.class_names, a.names + b.names)


def _pca(ordinary: ImageSet, held_out: NDArray[np.float32], latent_dim: int) -> dict[str, Any]:
    flat = ordinary.scaled().reshape(len(ordinary), -1)
    pca = fit_pca(flat, min(latent_dim, *flat.shape))
    x = held_out.reshape(len(held_out), -1)
    mse = float(np.square(pca.reconstruct(x) - x).mean())
    return {"pca_mse": mse, "pca_components": len(pca.components)}


def _write_ranking(
    path: Path, ranking: tuple[tuple[str, float, bool], ...], threshold: float
) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "score", "threshold", "anomalous"])
        for name, score, is_unfit in ranking:
            writer.writerow([csv_cell(name), f"{score:.6g}", f"{threshold:.6g}", int(is_unfit)])
