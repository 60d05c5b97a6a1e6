"""Anomalous frames: which ones differ from normal frames, and where in the image."""

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

from monitor.domain import DoubleArray, FloatArray
from monitor.errors import BadInputError, UsageError
from monitor.text.escaping import csv_cell, one_line
from training.history import FitResult
from training.images.anomaly_score import AnomalyScorer
from training.images.anomaly_training import train_anomaly_scorer
from training.images.figures import save_error_maps, save_grid, save_histogram
from training.images.folder import split_frames
from training.images.image_set import ImageSet
from training.images.outputs import (
    begin_results,
    compared_with_pca,
    finish_run,
    open_output,
    table,
    training_record,
    write_run,
)
from training.images.pca import fit_pca
from training.images.reconstruction import density_metrics
from training.images.train import ImageSettings

OTHER_HALF = "other-half"
_N_SHOWN = 10


@dataclass(frozen=True, slots=True)
class FrameReport:
    """Frames with their scores, highest first, and the metrics (``metrics.json``)."""

    ranking: tuple[tuple[str, float, bool], ...]
    metrics: Mapping[str, Any]

    def table(self) -> str:
        """Return the table that the command prints: the anomalous frames."""
        m = self.metrics
        anomalous = [
            (one_line(name), f"{score:8.2f}")
            for name, score, is_anomalous in self.ranking
            if is_anomalous
        ]
        limit = f"score above {m['threshold']:.2f}, as {m['false_alarm_rate']:.1%} of normal frames"
        lines = [f"anomalous: {m['n_unfit']} of {m['n_frames']} frames ({limit})"]
        if anomalous:
            lines.append(table(anomalous[: 2 * _N_SHOWN]))
        word = compared_with_pca(m["held_out_mse"], m["pca_mse"], higher_is_better=False)
        rows = [
            ("held-out MSE per element", f"{m['held_out_mse']:.5f}  ({word})"),
            (f"PCA-{m['pca_components']}", f"{m['pca_mse']:.5f}"),
        ]
        return "\n".join([*lines, table(rows)])


def find_anomalous_frames(
    normal: ImageSet,
    others: ImageSet | None,
    settings: ImageSettings,
    out: Path,
    *,
    false_alarm_rate: float = 0.01,
    with_density: bool = False,
    tensorboard: bool = False,
) -> FrameReport:
    """Train on ``normal`` frames, score ``others`` and write everything to ``out``.

    Without ``others``, the normal frames are scored, each half by a network trained on the other
    half (files of the second one are in ``other-half``): a network has small errors for the
    images on which it was trained. The threshold is the score that a fraction ``false_alarm_rate``
    of normal frames would exceed if scores were normally distributed, with the median and the
    median absolute deviation of frames that were not trained on. A few anomalous ones hardly change
    it.

    ``frames.csv`` has ``file,score,threshold,anomalous``, the highest score first; ``frames.png``
    shows the frames with the highest scores and maps of their error.
    """
    started = time.monotonic()
    if not 0 < false_alarm_rate < 0.5:
        raise UsageError(f"--false-alarm-rate {false_alarm_rate}; it must be between 0 and 0.5")
    if others is not None and others.shape != normal.shape:
        raise BadInputError(
            f"{others.names[0]}: frames have shape {others.shape} (channels, height, width); "
            f"the normal frames have {normal.shape}"
        )
    folder = open_output(out)
    first, second = (
        _halves(normal, settings.seed) if others is None else split_frames(normal, settings.seed)
    )
    run = _Run(settings, folder, tensorboard)
    scorer, result = run.train(first)
    begin_results(folder)
    rebuilt = scorer.model.reconstruct(second.scaled())
    scored = (
        _score_halves(run, scorer, first, second)
        if others is None
        else _score_others(scorer, others, scorer.score(second.scaled()).combined)
    )
    threshold = robust_threshold(scored.held_out, false_alarm_rate)
    anomalous = scored.scores > threshold
    order = np.argsort(-scored.scores)
    ranking = tuple(
        (scored.frames.names[i], float(scored.scores[i]), bool(anomalous[i])) for i in order
    )
    metrics: dict[str, Any] = {
        "n_frames": len(scored.frames),
        "n_unfit": int(anomalous.sum()),
        "threshold": threshold,
        "false_alarm_rate": false_alarm_rate,
        "held_out_mse": float(np.square(rebuilt - second.scaled()).mean()),
        **_pca(first, second.scaled(), settings.latent_dim),
        "latent_dim": settings.latent_dim,
        "architecture": settings.architecture,
        "parameters": scorer.model.n_parameters,
        **training_record(settings, result),
    }
    if with_density:
        metrics |= density_metrics(scorer.density, scorer.model.encode(second.scaled()))
        samples = scorer.model.decode(scorer.density.sample(100))
        save_grid(folder / "samples.png", samples, n_columns=10)
    write_run(folder, scorer.model, result)
    _write_ranking(folder / "frames.csv", ranking, threshold)
    _write_figures(folder, scored, order[:_N_SHOWN], threshold)
    metrics["seconds"] = time.monotonic() - started + run.earlier_seconds
    finish_run(folder, metrics, folder / OTHER_HALF)
    return FrameReport(ranking, metrics)


@dataclass(slots=True)
class _Run:
    """The folder and settings of the one or two networks of a run."""

    settings: ImageSettings
    folder: Path
    tensorboard: bool
    earlier_seconds: float = 0.0

    def train(self, frames: ImageSet, part: str = ".") -> tuple[AnomalyScorer, FitResult]:
        """Train on ``frames``, in the subfolder ``part``."""
        scorer, result = train_anomaly_scorer(
            frames,
            self.settings,
            folder=open_output(self.folder / part),
            keep_checkpoint=True,
            tensorboard=self.tensorboard,
        )
        self.earlier_seconds += result.earlier_seconds
        return scorer, result


@dataclass(frozen=True, slots=True)
class _Scored:
    """Scored frames.

    ``held_out`` are the scores of normal frames that the scoring network was not trained on.
    """

    frames: ImageSet
    scores: DoubleArray
    rebuilt: FloatArray
    held_out: DoubleArray


def _score_others(scorer: AnomalyScorer, frames: ImageSet, held_out: DoubleArray) -> _Scored:
    x = frames.scaled()
    return _Scored(frames, scorer.score(x).combined, scorer.model.reconstruct(x), held_out)


def _score_halves(run: _Run, scorer: AnomalyScorer, first: ImageSet, second: ImageSet) -> _Scored:
    """Score the second half by ``scorer``, which was trained on the first, and vice versa."""
    mirror, result = run.train(second, OTHER_HALF)
    write_run(run.folder / OTHER_HALF, mirror.model, result)
    pairs = ((scorer, second.scaled()), (mirror, first.scaled()))
    scores = np.concatenate([one.score(x).combined for one, x in pairs])
    rebuilt = np.concatenate([one.model.reconstruct(x) for one, x in pairs])
    return _Scored(_joined(second, first), scores, rebuilt, held_out=scores)


def _write_figures(
    folder: Path, scored: _Scored, worst: NDArray[np.int64], threshold: float
) -> None:
    frames = scored.frames.take(worst)
    titles = [
        f"{_short(one_line(Path(name).name))}\nscore {score:.3g}"
        for name, score in zip(frames.names, scored.scores[worst], strict=True)
    ]
    save_error_maps(folder / "frames.png", frames.scaled(), scored.rebuilt[worst], titles)
    groups = {"scored frames": scored.scores}
    if scored.held_out is not scored.scores:
        groups["normal frames, not trained on"] = scored.held_out
    save_histogram(folder / "score.png", groups, "score", threshold=threshold)


def _short(name: str) -> str:
    """A file name that fits over a small picture: its end distinguishes frames."""
    return name if len(name) <= 13 else f"...{name[-11:]}"


def robust_threshold(scores: NDArray[np.float64], false_alarm_rate: float) -> float:
    """Return what a fraction ``false_alarm_rate`` of normally distributed scores would exceed."""
    median = float(np.median(scores))
    deviation = 1.4826 * float(np.median(np.abs(scores - median)))
    return median + NormalDist().inv_cdf(1.0 - false_alarm_rate) * deviation


def _halves(frames: ImageSet, seed: int) -> tuple[ImageSet, ImageSet]:
    if len(frames) < 8:
        raise BadInputError(f"at least 8 frames are needed, not {len(frames)}")
    order = np.random.default_rng([seed, 2]).permutation(len(frames))
    return frames.take(np.sort(order[::2])), frames.take(np.sort(order[1::2]))


def _joined(a: ImageSet, b: ImageSet) -> ImageSet:
    pixels, labels = np.concatenate([a.pixels, b.pixels]), np.concatenate([a.labels, b.labels])
    return ImageSet(pixels, labels, a.class_names, a.names + b.names)


def _pca(normal: ImageSet, held_out: NDArray[np.float32], latent_dim: int) -> dict[str, Any]:
    flat = normal.scaled().reshape(len(normal), -1)
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
        for name, score, is_anomalous in ranking:
            writer.writerow([csv_cell(name), f"{score:.6g}", f"{threshold:.6g}", int(is_anomalous)])
