"""How far an image is from what is known to be normal.

Four views of one image x, the first two by an autoencoder with code z and reconstruction x_hat:
the residual x_hat - x measured with the covariance of normal residuals, and the density of z (a
novel image may well be reconstructed, from a code that no normal one has). The other two are by a
network that tells how normal images have been turned: how badly it can tell, and the density of
its features. Each is put on the scale of held-out normal images, and the score is their sum. The
squared error summed over elements, the textbook score, stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.images.density import CodeDensity, fit_density
from training.images.model import ImageModel
from training.images.pca import Pca, fit_pca
from training.images.transformations import TurnModel

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]
_RESIDUAL_AXES = 60
_RESIDUAL_FLOOR = 0.03
_MAX_FEATURE_AXES = 40
_LEAST_FEATURE_VARIANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores ``(n,)`` of images, higher is more novel.

    ``error`` is the squared error summed over elements; ``combined``, the sum of the four others
    on their scales, is the one to decide by.
    """

    error: DoubleArray
    residual: DoubleArray
    density: DoubleArray
    turned: DoubleArray
    features: DoubleArray
    combined: DoubleArray


@dataclass(frozen=True, slots=True)
class ResidualMetric:
    """A Mahalanobis distance of residuals: covariance along the main axes, one variance beyond.

    ``floor`` is added to every variance, so that a direction never seen to vary does not dominate.
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
    """A density of a turn network's features, along the axes on which normal images differ."""

    pca: Pca
    density: CodeDensity

    def novelty(self, features: FloatArray) -> DoubleArray:
        """Return minus the log density ``(n,)`` of features ``(n, d)`` in nats."""
        return -self.density.log_density(self.pca.encode(features))


@dataclass(frozen=True, slots=True)
class _Scale:
    centre: float
    spread: float

    def apply(self, values: DoubleArray) -> DoubleArray:
        return (values - self.centre) / self.spread


@dataclass(frozen=True, slots=True)
class NoveltyScorer:
    """Networks with everything learned from normal images that their scores need."""

    model: ImageModel
    turns: TurnModel
    density: CodeDensity
    residual_metric: ResidualMetric
    features: FeatureDensity
    scales: tuple[_Scale, ...] = ()

    def score(self, images: FloatArray) -> Scores:
        """Score images ``(n, c, h, w)`` in 0..1."""
        error, views = self.views(images)
        scaled = [s.apply(v) for s, v in zip(self.scales, views, strict=True)]
        residual, density, turned, features = views
        return Scores(error, residual, density, turned, features, np.sum(scaled, axis=0))

    def views(self, images: FloatArray) -> tuple[DoubleArray, tuple[DoubleArray, ...]]:
        """Return the squared error ``(n,)``, and residual, density, turned and features."""
        residuals = _residuals(self.model, images)
        error = np.square(residuals, dtype=np.float64).sum(axis=1)
        return error, (
            np.sqrt(self.residual_metric.distance(residuals)),
            -self.density.log_density(self.model.encode(images)),
            self.turns.log_surprise(images),
            self.features.novelty(self.turns.features(images)),
        )


def fit_novelty(
    model: ImageModel, turns: TurnModel, train: FloatArray, held_out: FloatArray, *, seed: int = 0
) -> NoveltyScorer:
    """Learn densities and scales from normal images.

    ``held_out`` must not have trained the networks: residuals of training images are too small.
    """
    scorer = NoveltyScorer(
        model,
        turns,
        fit_density(model.encode(train), model.encode(held_out), seed=seed),
        _fit_residual_metric(_residuals(model, held_out)),
        _fit_features(turns.features(train), turns.features(held_out), seed),
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
