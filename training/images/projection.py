"""Denoising by projection: search for the code whose image explains the noisy image best.

The network is trained on clean images only. For a noisy image y, the result is the decoded image of
the code that is most probable a posteriori,

    argmin_z  -log p(y | decode(z)) - log p(z),

for Gaussian noise and pixels clipped to 0..1. A pixel of 0 only means that image plus noise was at
most 0 (a censored likelihood, Tobin 1958), and likewise for 1. Without this, dark backgrounds would
become brighter by the mean of the clipped noise. p(z) is a mixture of Gaussians over the codes of
the training images (maximum a posteriori over the range of a generator: Bora et al. 2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from monitor.domain import FloatArray
from training.images.density import CodeDensity
from training.images.model import ImageModel

_BATCH = 500


@dataclass(frozen=True, slots=True)
class ProjectionSettings:
    """``n_steps`` of Adam on each code; ``prior_weight`` multiplies -log p(z)."""

    n_steps: int = 60
    learning_rate: float = 0.1
    prior_weight: float = 1.0


@dataclass(frozen=True, slots=True)
class _Prior:
    """A Gaussian mixture over standardised codes, in torch."""

    mean: Tensor
    deviation: Tensor
    log_weights: Tensor
    centres: Tensor
    precision_factors: Tensor

    def log_density(self, u: Tensor) -> Tensor:
        """Return log p ``(n,)`` of standardised codes ``(n, d)``, up to a constant."""
        whitened = torch.einsum("nd,kde->nke", u, self.precision_factors) - self.centres
        return torch.logsumexp(self.log_weights - 0.5 * whitened.square().sum(dim=2), dim=1)


def project(
    model: ImageModel,
    density: CodeDensity,
    noisy: FloatArray,
    sigma: float,
    settings: ProjectionSettings | None = None,
) -> FloatArray:
    """Return the image of ``model`` for each of ``noisy`` ``(n, c, h, w)`` in 0..1, same shape.

    ``sigma`` is the noise's standard deviation before clipping.
    """
    chosen = settings or ProjectionSettings()
    prior = _prior(density, model.device)
    model.network.eval().requires_grad_(False)
    try:
        parts = [
            _project_batch(model, prior, torch.from_numpy(part).to(model.device), sigma, chosen)
            for part in np.split(noisy, range(_BATCH, len(noisy), _BATCH))
        ]
    finally:
        model.network.requires_grad_(True)
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


def censored_negative_log_likelihood(noisy: Tensor, image: Tensor, sigma: float) -> Tensor:
    """Return -log p(noisy | image) summed over an image's elements, ``(n,)``, up to a constant."""
    between = 0.5 * ((noisy - image) / sigma).square()
    at_zero = -torch.special.log_ndtr(-image / sigma)
    at_one = -torch.special.log_ndtr((image - 1.0) / sigma)
    each = torch.where(noisy <= 0.0, at_zero, torch.where(noisy >= 1.0, at_one, between))
    return each.flatten(1).sum(dim=1)


def _project_batch(
    model: ImageModel, prior: _Prior, noisy: Tensor, sigma: float, settings: ProjectionSettings
) -> Tensor:
    with torch.no_grad():
        first = model.network.encode(model.objective.prepare(noisy))
    u = ((first - prior.mean) / prior.deviation).clamp(-4.0, 4.0).requires_grad_(True)
    optimizer = torch.optim.Adam([u])
    image = noisy
    for step in range(settings.n_steps + 1):
        image = model.objective.restore(model.network.decode_raw(u * prior.deviation + prior.mean))
        if step == settings.n_steps:
            break
        fall = 0.5 * (1.0 + math.cos(math.pi * step / settings.n_steps))
        optimizer.param_groups[0]["lr"] = settings.learning_rate * max(fall, 0.05)
        optimizer.zero_grad()
        misfit = censored_negative_log_likelihood(noisy, image, sigma)
        objective = misfit - settings.prior_weight * prior.log_density(u)
        objective.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves this one unannotated
        optimizer.step()
    return image.detach().cpu()


def _prior(density: CodeDensity, device: torch.device) -> _Prior:
    mixture = density.mixture
    factors = np.asarray(mixture.precisions_cholesky_)
    centres = np.einsum("kd,kde->ke", mixture.means_, factors)
    log_weights = np.log(mixture.weights_) + np.log(
        np.abs(np.diagonal(factors, axis1=1, axis2=2))
    ).sum(axis=1)
    values = (density.mean, density.deviation, log_weights, centres, factors)
    return _Prior(*(torch.as_tensor(v, dtype=torch.float32, device=device) for v in values))
