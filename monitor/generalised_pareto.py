"""The generalised Pareto distribution: the tail of anything, beyond a high threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_PRIOR_WEIGHT = 30.0
_PRIOR_SHAPE = 0.0


@dataclass(frozen=True, slots=True)
class GeneralisedPareto:
    """Excesses ``x >= 0`` with ``P(X > x) = (1 + shape x / scale)^(-1 / shape)``."""

    shape: float
    scale: float

    def quantile(self, probability: float) -> float:
        """The excess that is exceeded with chance ``1 - probability``, 0 for ``<= 0``."""
        if probability <= 0.0 or self.scale <= 0.0:
            return 0.0
        beyond = -math.log1p(-probability)
        if abs(self.shape) < 1e-9:
            return self.scale * beyond
        return self.scale * math.expm1(self.shape * beyond) / self.shape


def fit_generalised_pareto(
    excesses: npt.NDArray[np.float64], *, lightest: float, heaviest: float
) -> GeneralisedPareto:
    """Zhang and Stephens' (2009, Technometrics 51) quasi-Bayesian estimate.

    ``excesses``: shape ``(n,)``, >= 0, at least one. The shape is drawn towards 0
    (an exponential tail) with the weight of thirty observations, as Vehtari, Simpson,
    Gelman, Yao and Gabry (Pareto smoothed importance sampling, 2024) draw theirs
    towards one half, and kept from ``lightest`` to ``heaviest``.
    """
    x = np.sort(np.asarray(excesses, dtype=np.float64))
    n = len(x)
    mean = float(x.mean())
    if mean <= 0.0 or x[-1] <= 0.0:
        return GeneralisedPareto(0.0, 0.0)
    quartile = max(float(x[max(0, int(n / 4 + 0.5) - 1)]), 1e-3 * mean)
    grid = 30 + int(math.sqrt(n))
    candidates = 1.0 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))
    theta = 1.0 / x[-1] + candidates / (3.0 * quartile)
    shapes = np.log1p(-theta[:, None] * x).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        likelihood = n * (np.log(-theta / shapes) - shapes - 1.0)
    likelihood[~np.isfinite(likelihood)] = -np.inf
    weights = np.exp(likelihood - likelihood.max())
    best = float(theta @ (weights / weights.sum()))
    raw_shape = float(np.log1p(-best * x).mean())
    shape = (n * raw_shape + _PRIOR_WEIGHT * _PRIOR_SHAPE) / (n + _PRIOR_WEIGHT)
    shape = float(np.clip(shape, lightest, heaviest))
    # The mean of the distribution is scale / (1 - shape): keep the mean that was seen.
    return GeneralisedPareto(shape, mean * (1.0 - shape))
