"""A probability density of the codes of an autoencoder: a mixture of Gaussians."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from monitor.domain import FloatArray

_MAX_FITTED = 20_000


@dataclass(frozen=True, slots=True)
class CodeDensity:
    """A mixture of Gaussians over codes ``(n, latent_dim)``, fitted to standardised codes."""

    mean: FloatArray
    deviation: FloatArray
    mixture: GaussianMixture
    validation_log_likelihood: float

    @property
    def n_components(self) -> int:
        """The number of Gaussians."""
        return int(self.mixture.n_components)

    def log_density(self, codes: FloatArray) -> NDArray[np.float64]:
        """Return the log density ``(n,)`` in nats, in the codes' own units."""
        values = self.mixture.score_samples((codes - self.mean) / self.deviation)
        return np.asarray(values - np.log(self.deviation.astype(np.float64)).sum())

    def sample(self, n_samples: int) -> FloatArray:
        """Draw codes ``(n_samples, latent_dim)``, one Gaussian after the other.

        The same codes at every call: the seed is that of ``fit_density``.
        """
        with warnings.catch_warnings():
            # Covariances of float32 codes are symmetric to float32 only.
            warnings.filterwarnings("ignore", "covariance is not symmetric", RuntimeWarning)
            codes, _ = self.mixture.sample(n_samples)
        return np.asarray(codes * self.deviation + self.mean, dtype=np.float32)


def fit_density(
    train: FloatArray,
    validation: FloatArray,
    *,
    components: Sequence[int] = (1, 10, 30),
    seed: int = 0,
) -> CodeDensity:
    """Fit mixtures of full-covariance Gaussians; return the most likely one on ``validation``.

    ``components`` are the numbers of Gaussians to try, up to a tenth of the number of codes. The
    fit uses at most 20 000 codes, drawn at random.
    """
    chosen = np.random.default_rng(seed).permutation(len(train))[:_MAX_FITTED]
    mean, deviation = train.mean(axis=0), np.maximum(train.std(axis=0), 1e-6)
    standardised = (train[chosen] - mean) / deviation
    candidates = [n for n in components if n == 1 or n <= len(chosen) // 10]
    best: CodeDensity | None = None
    for n_components in candidates:
        mixture = GaussianMixture(n_components, reg_covar=1e-2, max_iter=60, random_state=seed)
        with warnings.catch_warnings():
            # A fit that has not converged is compared on the validation codes like all others.
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(standardised)
        density = CodeDensity(mean, deviation, mixture, 0.0)
        likelihood = float(density.log_density(validation).mean())
        if best is None or likelihood > best.validation_log_likelihood:
            best = CodeDensity(mean, deviation, mixture, likelihood)
    if best is None:
        raise ValueError("no number of components to try")
    return best
