"""One-class detection: train on normal images, and detect all others.

Training uses the normal classes of the training images. The metrics use all test images; the other
classes are the anomalies. PCA with the same bottleneck and two nearest neighbours are computed for
comparison.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from monitor.errors import BadInputError, UsageError
from monitor.text.wording import counted
from training.history import FitResult, HistoryRow, write_history
from training.images.anomaly_score import AnomalyScorer, Scores
from training.images.anomaly_training import train_anomaly_scorer
from training.images.datasets import ImageData
from training.images.figures import save_grid, save_histogram, save_rows
from training.images.image_set import FEWEST_TRAINED
from training.images.outputs import (
    begin_results,
    finish_run,
    open_output,
    table,
    training_record,
    write_run,
)
from training.images.pca import fit_pca
from training.images.reconstruction import density_metrics
from training.images.train import ImageSettings
from training.metrics import roc_auc

ROTATIONS_WEIGHTS_NAME = "rotations.safetensors"
_N_NEIGHBOURS = 2
_N_SHOWN = 16


@dataclass(frozen=True, slots=True)
class OneClass:
    """The metrics of one or several normal sets (the keys of ``metrics.json``)."""

    metrics: Mapping[str, Any]

    def table(self) -> str:
        """Return the table that the command prints: the area under the ROC curve, 0 to 1."""
        m = self.metrics
        lines = [f"{'ROC AUC':<12}{'network':>9}{'error':>9}{'PCA':>9}{'2-NN':>9}"]
        for key in m["auc"]:
            values = (m[name][key] for name in ("auc", "error_auc", "pca_auc", "knn_auc"))
            lines.append(f"{key:<12}" + "".join(f"{value:9.4f}" for value in values))
        means = (m[f"{name}mean_auc"] for name in ("", "error_", "pca_", "knn_"))
        lines.append(f"{'mean':<12}" + "".join(f"{value:9.4f}" for value in means))
        if m["mean_auc"] <= m["pca_mean_auc"]:
            lines.append("the network is NOT better than PCA of the same bottleneck")
        return "\n".join([*lines, table([("seconds", f"{m['seconds']:.0f}")])])


@dataclass(frozen=True, slots=True)
class _Case:
    """The result for one normal set."""

    scorer: AnomalyScorer
    result: FitResult
    scores: Scores
    metrics: Mapping[str, Any]
    auc: Mapping[str, float]


def one_class(
    data: ImageData,
    normal: Sequence[str],
    settings: ImageSettings,
    out: Path,
    *,
    with_density: bool = False,
    tensorboard: bool = False,
) -> OneClass:
    """Train on the classes ``normal`` together, or on each class separately if it is empty.

    Everything is written to ``out``. With several normal sets, weights and figures are in a folder
    for each of them.
    """
    started = time.monotonic()
    groups = [_class_indices(data, normal)] if normal else [[i] for i in present_classes(data)]
    _refuse_too_few(data, groups)
    folder = open_output(out)
    names = ["+".join(data.train.class_names[i] for i in group) for group in groups]
    metrics: dict[str, Any] = {"dataset": data.name, "latent_dim": settings.latent_dim}
    kinds = ("", "error_", "residual_", "density_", "turned_", "features_", "pca_", "knn_")
    metrics |= {f"{kind}auc": {} for kind in kinds}
    places = [folder if len(groups) == 1 else folder / name for name in names]
    history: list[HistoryRow] = []
    earlier_seconds = 0.0
    for name, group, place in zip(names, groups, places, strict=True):
        open_output(place)
        case = _run_case(data, group, settings, place, tensorboard=tensorboard, name=name)
        begin_results(folder)
        earlier_seconds += case.result.earlier_seconds
        for kind in kinds:
            metrics[f"{kind}auc"][name] = case.auc[kind]
        history += case.result.history
        trained = training_record(settings, case.result)
        for key in ("epochs", "best_epoch", "train_loss", "validation_loss"):
            metrics.setdefault(key, {})[name] = trained.pop(key)
        metrics |= trained
        write_run(place, case.scorer.model, case.result)
        case.scorer.rotations.save(place / ROTATIONS_WEIGHTS_NAME)
        _write_figures(data, group, case, place)
        if with_density:
            codes = case.scorer.density.sample(100)
            save_grid(place / "samples.png", case.scorer.model.decode(codes), n_columns=10)
            metrics.setdefault("density_per_class", {})[name] = dict(case.metrics)
        metrics["parameters"] = case.scorer.model.n_parameters
    for kind in kinds:
        metrics[f"{kind}mean_auc"] = float(np.mean(list(metrics[f"{kind}auc"].values())))
    if with_density:
        cases = metrics["density_per_class"].values()
        held_out = [case["density_test_log_likelihood"] for case in cases]
        metrics["density_test_log_likelihood"] = float(np.mean(held_out))
    if len(groups) > 1:
        numbered = [replace(row, epoch=i) for i, row in enumerate(history, start=1)]
        write_history(folder / "history.csv", numbered)
    metrics["architecture"] = settings.architecture
    metrics["seconds"] = time.monotonic() - started + earlier_seconds
    finish_run(folder, metrics, *places)
    return OneClass(metrics)


def _run_case(
    data: ImageData,
    group: Sequence[int],
    settings: ImageSettings,
    folder: Path,
    *,
    tensorboard: bool,
    name: str,
) -> _Case:
    normal = data.train.take(np.isin(data.train.labels, group))
    scorer, result = train_anomaly_scorer(
        normal,
        settings,
        folder=folder,
        keep_checkpoint=True,
        tensorboard=tensorboard,
        description=f"normal: {name}",
    )
    x_test = data.test.scaled()
    anomalous = ~np.isin(data.test.labels, group)
    scores = scorer.score(x_test)
    x_normal = normal.scaled().reshape(len(normal), -1)
    flat = x_test.reshape(len(x_test), -1)
    pca = fit_pca(x_normal, min(settings.latent_dim, *x_normal.shape))
    neighbours = NearestNeighbors(n_neighbors=min(_N_NEIGHBOURS, len(normal))).fit(x_normal)
    views = {
        "": scores.combined,
        "error_": scores.error,
        "residual_": scores.residual,
        "density_": scores.density,
        "turned_": scores.rotation,
        "features_": scores.features,
        "pca_": np.square(pca.reconstruct(flat) - flat).sum(axis=1),
        "knn_": neighbours.kneighbors(flat)[0].mean(axis=1),
    }
    codes = scorer.model.encode(x_test[~anomalous])
    auc = {kind: roc_auc(anomalous, values) for kind, values in views.items()}
    return _Case(scorer, result, scores, density_metrics(scorer.density, codes), auc)


def _write_figures(data: ImageData, group: Sequence[int], case: _Case, folder: Path) -> None:
    """Draw an image of every class with its reconstruction, and histograms of two scores."""
    labels = data.test.labels
    classes = np.unique(labels)[:_N_SHOWN]
    shown = np.array([int(np.flatnonzero(labels == c)[0]) for c in classes])
    images = data.test.scaled()[shown]
    rebuilt = case.scorer.model.reconstruct(images)
    save_rows(folder / "reconstructions.png", [("image", images), ("reconstruction", rebuilt)])
    normal = np.isin(labels, group)
    for name, values, label in (
        ("error.png", case.scores.error, "squared error, summed over the image"),
        ("score.png", case.scores.combined, "score"),
    ):
        groups = {"normal": values[normal], "others": values[~normal]}
        save_histogram(folder / name, groups, label)


def present_classes(data: ImageData) -> list[int]:
    """Return the classes that occur among the training images."""
    return [int(c) for c in np.unique(data.train.labels)]


def _refuse_too_few(data: ImageData, groups: Sequence[Sequence[int]]) -> None:
    """Raise ``BadInputError`` before any training, which takes minutes for each group."""
    n_of_class = np.bincount(data.train.labels, minlength=len(data.train.class_names))
    for group in groups:
        for one in group:
            if n_of_class[one] < FEWEST_TRAINED:
                raise BadInputError(
                    f"class {data.train.class_names[one]} has "
                    f"{counted(int(n_of_class[one]), 'training image')}; "
                    f"at least {FEWEST_TRAINED} are needed"
                )
        name = "+".join(data.train.class_names[i] for i in group)
        is_normal = np.isin(data.test.labels, group)
        if is_normal.all() or not is_normal.any():
            missing = "anomalous" if is_normal.all() else "normal"
            raise BadInputError(
                f"class {name} cannot be tested: none of the test images is {missing}"
            )


def _class_indices(data: ImageData, names: Sequence[str]) -> list[int]:
    """Return the classes called ``names``, by their names or their numbers."""
    known = data.train.class_names
    numbers = [str(number) for number in range(len(known))]
    indices: set[int] = set()
    for name in names:
        if name in known:
            indices.add(known.index(name))
        elif name in numbers:
            indices.add(numbers.index(name))
        else:
            raise UsageError(f"--normal {name}: no such class; the classes are {', '.join(known)}")
    if indices >= {*present_classes(data)}:
        raise UsageError("--normal names every class: at least one class must be left as anomalous")
    return sorted(indices)
