"""How far an image is from what an autoencoder learned as normal.

Three views of one image x with code z and reconstruction x_hat: the squared error summed over
elements (the textbook score), the density of z (a novel image may well be reconstructed, from a
code that no normal one has), and the residual x_hat - x measured with the covariance of normal
residuals. Each is put on the scale of held-out normal images, and the score is their sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.density import CodeDensity, fit_density
from training.image_model import ImageModel
from training.linear import Pca, fit_pca

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]
_RESIDUAL_AXES = 60
_RESIDUAL_FLOOR = 0.03


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores ``(n,)`` of images, higher is more novel.

    ``error`` is the squared error summed over elements; ``combined`` is the one to decide by.
    """

    error: DoubleArray
    density: DoubleArray
    residual: DoubleArray
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
class _Scale:
    centre: float
    spread: float

    def apply(self, values: DoubleArray) -> DoubleArray:
        return (values - self.centre) / self.spread


@dataclass(frozen=True, slots=True)
class NoveltyScorer:
    """A model with everything learned from normal images that its scores need."""

    model: ImageModel
    density: CodeDensity
    residual_metric: ResidualMetric
    scales: tuple[_Scale, _Scale, _Scale]

    def score(self, images: FloatArray) -> Scores:
        """Score images ``(n, c, h, w)`` in 0..1."""
        error, density, residual = _views(self.model, self.density, self.residual_metric, images)
        terms = (np.sqrt(error), density, np.sqrt(residual))
        scaled = [s.apply(t) for s, t in zip(self.scales, terms, strict=True)]
        combined = 0.5 * (scaled[0] + scaled[2]) + scaled[1]
        return Scores(error, density, residual, combined)


def fit_novelty(
    model: ImageModel, train: FloatArray, held_out: FloatArray, *, seed: int = 0
) -> NoveltyScorer:
    """Learn densities and scales from normal images.

    ``held_out`` must not have trained ``model``: residuals of training images are too small.
    """
    mixture = fit_density(model.encode(train), model.encode(held_out), seed=seed)
    metric = _fit_residual_metric(_residuals(model, held_out))
    error, density, residual = _views(model, mixture, metric, held_out)
    terms = (np.sqrt(error), density, np.sqrt(residual))
    first, second, third = (_Scale(float(np.median(t)), max(float(np.std(t)), 1e-9)) for t in terms)
    return NoveltyScorer(model, mixture, metric, (first, second, third))


def _fit_residual_metric(residuals: FloatArray) -> ResidualMetric:
    n, d = residuals.shape
    n_axes = max(1, min(_RESIDUAL_AXES, n // 5, d - 1))
    pca = fit_pca(residuals, min(n_axes, n))
    total = float(np.square(residuals - pca.mean, dtype=np.float64).sum(axis=1).mean())
    tail = max(total - float(pca.variances.sum()), 0.0) / max(d - n_axes, 1)
    return ResidualMetric(pca, tail, _RESIDUAL_FLOOR)


def _views(
    model: ImageModel, density: CodeDensity, metric: ResidualMetric, images: FloatArray
) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
    residuals = _residuals(model, images)
    error = np.square(residuals, dtype=np.float64).sum(axis=1)
    return error, -density.log_density(model.encode(images)), metric.distance(residuals)


def _residuals(model: ImageModel, images: FloatArray) -> FloatArray:
    return (model.reconstruct(images) - images).reshape(len(images), -1)
