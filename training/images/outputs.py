"""The files that all image commands write, and the format of their tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monitor.durable import replace_content
from monitor.errors import MissingInputError
from training.history import FitResult, write_history
from training.images.figures import save_history
from training.images.model import ImageModel
from training.images.train import ImageSettings
from training.images.transformations import ROTATIONS_CHECKPOINT_NAME
from training.loop import CHECKPOINT_NAME
from training.run_folder import versions

METRICS_NAME = "metrics.json"
WEIGHTS_NAME = "weights.safetensors"


def open_output(folder: Path) -> Path:
    """Create ``folder``; raises MissingInputError if that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MissingInputError(f"--out {folder}: {error.strerror}") from error
    return folder


def begin_results(folder: Path) -> None:
    """Remove the ``metrics.json`` of an earlier run before its other files are replaced.

    A run that is stopped from here on would leave it beside weights of another training.
    """
    (folder / METRICS_NAME).unlink(missing_ok=True)


def write_run(folder: Path, model: ImageModel, result: FitResult) -> None:
    """Write weights, ``history.csv`` and the loss curves."""
    model.save(folder / WEIGHTS_NAME)
    write_history(folder / "history.csv", result.history)
    save_history(folder / "loss.png", result.history)


def training_record(settings: ImageSettings, result: FitResult) -> dict[str, Any]:
    """The keys of ``metrics.json`` about the training. The losses are those of the kept epoch."""
    kept = result.history[result.best_epoch - 1]
    return {
        "epochs": len(result.history),
        "best_epoch": result.best_epoch,
        "train_loss": kept.train_loss,
        "validation_loss": kept.validation_loss,
        "learning_rate": settings.learning_rate,
        "batch_size": settings.batch_size,
        "seed": settings.seed,
        "versions": versions(),
    }


def finish_run(folder: Path, metrics: Mapping[str, Any], *trained_in: Path) -> None:
    """Write ``metrics.json``, the last file of a complete run, and remove the checkpoints.

    The checkpoints are in ``folder`` and in the folders ``trained_in``. They stay until here, so
    that no training is lost by an interruption.
    """
    text = json.dumps(dict(metrics), indent=2, allow_nan=False)
    replace_content(folder / METRICS_NAME, f"{text}\n".encode())
    for place in (folder, *trained_in):
        (place / CHECKPOINT_NAME).unlink(missing_ok=True)
        (place / ROTATIONS_CHECKPOINT_NAME).unlink(missing_ok=True)


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Return two aligned columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def compared_with_pca(
    ours: float,
    linear: float,
    *,
    higher_is_better: bool,
    baseline: str = "PCA of the same bottleneck",
) -> str:
    """Return in words whether the network is better than PCA, the ``baseline``."""
    better = ours > linear if higher_is_better else ours < linear
    return "better than PCA" if better else f"NOT better than {baseline}"
