"""The anomaly score of an image: how different it is from normal images.

It is the sum of four scores of an image x. Two come from an autoencoder with code z and
reconstruction x_hat: the residual x_hat - x, measured with the covariance of normal residuals, and
the density of z (an anomalous image can have a small residual, but an unusual code). Two come from
a network that recognises rotations: its cross-entropy, and the density of its features. Each score
is scaled by held-out normal images. The squared error summed over elements is given for comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from monitor.domain import DoubleArray, FloatArray
from training.images.density import CodeDensity, fit_density
from training.images.model import ImageModel
from training.images.pca import Pca, fit_pca
from training.images.transformations import RotationModel

_RESIDUAL_AXES = 60
_RESIDUAL_FLOOR = 0.03
_MAX_FEATURE_AXES = 40
_LEAST_FEATURE_VARIANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores ``(n,)`` of images; higher is more anomalous.

    ``error`` is the squared error summed over elements. ``combined`` is the anomaly score: the sum
    of the four other scores, scaled.
    """

    error: DoubleArray
    residual: DoubleArray
    density: DoubleArray
    rotation: DoubleArray
    features: DoubleArray
    combined: DoubleArray


@dataclass(frozen=True, slots=True)
class ResidualMetric:
    """A Mahalanobis distance of residuals: covariance along the main axes, one variance elsewhere.

    ``floor`` is added to every variance, so that a direction without variance does not dominate.
    """

    pca: Pca
    tail_variance: float
    floor: float

    def distance(self, residuals: FloatArray) -> DoubleArray:
        """Return the squared distance ``(n,)`` of residuals ``(n, d)``."""
        along = np.square(self.pca.encode(residuals), dtype=np.float64)
        total = np.square(residuals - self.pca.mean, dtype=np.float64).sum(axis=1)
        beyond = np.maximum(total - along.sum(axis=1), 0.0)
        weighted = (along / (self.pca.variances + self.floor)).sum(axis=1)
        return np.asarray(weighted + beyond / (self.tail_variance + self.floor))


@dataclass(frozen=True, slots=True)
class FeatureDensity:
    """A density of a rotation network's features, along the axes in which normal images differ."""

    pca: Pca
    density: CodeDensity

    def negative_log_density(self, features: FloatArray) -> DoubleArray:
        """Return the negative log density ``(n,)`` of features ``(n, d)`` in nats."""
        return -self.density.log_density(self.pca.encode(features))


@dataclass(frozen=True, slots=True)
class _Scale:
    centre: float
    spread: float

    def apply(self, values: DoubleArray) -> DoubleArray:
        return (values - self.centre) / self.spread


@dataclass(frozen=True, slots=True)
class AnomalyScorer:
    """The two networks with the densities and scales of normal images."""

    model: ImageModel
    rotations: RotationModel
    density: CodeDensity
    residual_metric: ResidualMetric
    features: FeatureDensity
    scales: tuple[_Scale, ...] = ()

    def score(self, images: FloatArray) -> Scores:
        """Score images ``(n, c, h, w)`` in 0..1."""
        error, views = self.views(images)
        scaled = [s.apply(v) for s, v in zip(self.scales, views, strict=True)]
        residual, density, rotation, features = views
        return Scores(error, residual, density, rotation, features, np.sum(scaled, axis=0))

    def views(self, images: FloatArray) -> tuple[DoubleArray, tuple[DoubleArray, ...]]:
        """Return the squared error ``(n,)``, and the other four scores before scaling."""
        residuals = _residuals(self.model, images)
        error = np.square(residuals, dtype=np.float64).sum(axis=1)
        return error, (
            np.sqrt(self.residual_metric.distance(residuals)),
            -self.density.log_density(self.model.encode(images)),
            self.rotations.log_cross_entropy(images),
            self.features.negative_log_density(self.rotations.features(images)),
        )


def fit_anomaly_scorer(
    model: ImageModel,
    rotations: RotationModel,
    train: FloatArray,
    held_out: FloatArray,
    *,
    seed: int = 0,
) -> AnomalyScorer:
    """Fit densities and scales to normal images.

    The networks must not be trained on ``held_out``: residuals of training images are too small.
    """
    scorer = AnomalyScorer(
        model,
        rotations,
        fit_density(model.encode(train), model.encode(held_out), seed=seed),
        _fit_residual_metric(_residuals(model, held_out)),
        _fit_features(rotations.features(train), rotations.features(held_out), seed),
    )
    _, views = scorer.views(held_out)
    scales = tuple(_Scale(float(np.median(v)), max(float(np.std(v)), 1e-9)) for v in views)
    return replace(scorer, scales=scales)


def _fit_features(train: FloatArray, held_out: FloatArray, seed: int) -> FeatureDensity:
    pca = fit_pca(train, min(_MAX_FEATURE_AXES, *train.shape))
    n_axes = max(1, int((pca.variances > _LEAST_FEATURE_VARIANCE * pca.variances[0]).sum()))
    pca = Pca(pca.mean, pca.components[:n_axes], pca.variances[:n_axes])
    return FeatureDensity(pca, fit_density(pca.encode(train), pca.encode(held_out), seed=seed))


def _fit_residual_metric(residuals: FloatArray) -> ResidualMetric:
    n, d = residuals.shape
    n_axes = max(1, min(_RESIDUAL_AXES, n // 5, d - 1))
    pca = fit_pca(residuals, min(n_axes, n))
    total = float(np.square(residuals - pca.mean, dtype=np.float64).sum(axis=1).mean())
    tail = max(total - float(pca.variances.sum()), 0.0) / max(d - n_axes, 1)
    return ResidualMetric(pca, tail, _RESIDUAL_FLOOR)


def _residuals(model: ImageModel, images: FloatArray) -> FloatArray:
    return (model.reconstruct(images) - images).reshape(len(images), -1)
