"""Trains the two networks of the anomaly score on normal images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from training.history import FitResult
from training.images.anomaly_score import AnomalyScorer, fit_anomaly_scorer
from training.images.image_set import ImageSet, split_validation
from training.images.train import GaussianNoise, ImageSettings, train_image_model
from training.images.transformations import train_rotations

_HELD_OUT_FRACTION = 0.15
_TRAINING_NOISE = 0.1


def train_anomaly_scorer(
    normal: ImageSet,
    settings: ImageSettings,
    *,
    folder: Path | None = None,
    keep_checkpoint: bool = False,
    tensorboard: bool = False,
    description: str = "normal images",
) -> tuple[AnomalyScorer, FitResult]:
    """Train on normal images, and fit the anomaly score.

    The autoencoder is trained to remove a little noise, so that it does not learn to copy. A second
    network is trained to recognise rotations. A part of the images is held out of training, for the
    choice of the epoch, for densities and for scales. The result is that of the autoencoder, but
    ``earlier_seconds`` includes both networks.
    """
    train, held_out = split_validation(normal, _HELD_OUT_FRACTION, settings.seed)
    x_train, x_held_out = train.scaled(), held_out.scaled()
    model, result = train_image_model(
        x_train,
        x_held_out,
        settings,
        corrupt=GaussianNoise(_TRAINING_NOISE, clip=False),
        folder=folder,
        keep_checkpoint=keep_checkpoint,
        tensorboard=tensorboard,
        description=description,
    )
    rotations, rotations_result = train_rotations(
        x_train,
        x_held_out,
        settings,
        folder=folder,
        keep_checkpoint=keep_checkpoint,
        description=f"{description}, rotations",
    )
    earlier_seconds = result.earlier_seconds + rotations_result.earlier_seconds
    scorer = fit_anomaly_scorer(model, rotations, x_train, x_held_out, seed=settings.seed)
    return scorer, replace(result, earlier_seconds=earlier_seconds)
