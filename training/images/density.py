"""A probability density for an autoencoder, which has none by itself: a mixture over its codes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

FloatArray = NDArray[np.float32]
_MAX_FITTED = 20_000


@dataclass(frozen=True, slots=True)
class CodeDensity:
    """A Gaussian mixture over codes ``(n, latent_dim)``, fitted to them standardised."""

    mean: FloatArray
    deviation: FloatArray
    mixture: GaussianMixture
    validation_log_likelihood: float

    @property
    def n_components(self) -> int:
        """How many Gaussians."""
        return int(self.mixture.n_components)

    def log_density(self, codes: FloatArray) -> NDArray[np.float64]:
        """Return the log density ``(n,)`` in nats, in the codes' own units."""
        values = self.mixture.score_samples((codes - self.mean) / self.deviation)
        return np.asarray(values - np.log(self.deviation.astype(np.float64)).sum())

    def sample(self, n_samples: int, seed: int) -> FloatArray:
        """Draw codes ``(n_samples, latent_dim)``."""
        rng = np.random.default_rng(seed)
        chosen = rng.choice(self.n_components, size=n_samples, p=self.mixture.weights_)
        white = rng.standard_normal((n_samples, len(self.mean)))
        # scikit-learn keeps L with precision = L L^T, so a sample is its mean + L^-T white.
        factors = np.linalg.inv(np.swapaxes(self.mixture.precisions_cholesky_, 1, 2))
        codes = self.mixture.means_[chosen] + np.einsum("nde,ne->nd", factors[chosen], white)
        return np.asarray(codes * self.deviation + self.mean, dtype=np.float32)


def fit_density(
    train: FloatArray,
    validation: FloatArray,
    *,
    components: Sequence[int] = (1, 10, 30),
    seed: int = 0,
) -> CodeDensity:
    """Fit mixtures of full-covariance Gaussians and keep the one likeliest on ``validation``.

    At most 20 000 codes are fitted to, drawn at random. A mixture of more Gaussians than a tenth
    of the codes is not tried.
    """
    chosen = np.random.default_rng(seed).permutation(len(train))[:_MAX_FITTED]
    mean, deviation = train.mean(axis=0), np.maximum(train.std(axis=0), 1e-6)
    standardised = (train[chosen] - mean) / deviation
    candidates = [n for n in components if n == 1 or n <= len(chosen) // 10]
    best: CodeDensity | None = None
    for n_components in candidates:
        mixture = GaussianMixture(n_components, reg_covar=1e-2, max_iter=60, random_state=seed)
        with warnings.catch_warnings():
            # An unfinished fit is compared on the validation codes like any other.
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(standardised)
        density = CodeDensity(mean, deviation, mixture, 0.0)
        likelihood = float(density.log_density(validation).mean())
        if best is None or likelihood > best.validation_log_likelihood:
            best = CodeDensity(mean, deviation, mixture, likelihood)
    if best is None:
        raise ValueError("no number of components to try")
    return best
