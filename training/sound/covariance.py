"""Covariance shrinkage: an estimate of how healthy evidence varies, from few recordings.

Evidence has a few hundred numbers and there are often fewer healthy recordings, so the sample
covariance is shrunk towards its own diagonal (Ledoit and Wolf 2004, J. Multivariate Analysis 88;
Schaefer and Strimmer 2005 for the diagonal target). The amount of shrinkage is chosen by the
likelihood of held-out recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.domain import DoubleArray

DIAGONAL = 1.0
SHRINKAGES = (0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, DIAGONAL)
"""With less than 0.003 the likelihood of held-out recordings still rises, on directions in which
residual and spectrum are almost equal, but fewer faults are detected."""
_LEAST_DEVIATION = 1e-4


@dataclass(frozen=True, slots=True)
class Scatter:
    """The second moments of centred evidence, for any shrinkage.

    ``deviations`` ``(d,)``; ``eigenvalues`` ``(d,)`` and ``basis`` ``(d, d)`` of the
    correlation matrix.
    """

    deviations: DoubleArray
    eigenvalues: DoubleArray
    basis: DoubleArray

    @property
    def covariance(self) -> DoubleArray:
        """The covariance without shrinkage. Shape: ``(d, d)``."""
        correlation = (self.basis * self.eigenvalues) @ self.basis.T
        covariance: DoubleArray = correlation * np.outer(self.deviations, self.deviations)
        return covariance

    def whitener(self, shrinkage: float, parts: Sequence[slice] = ()) -> DoubleArray:
        """W, with ``|W x|`` the distance of centred evidence ``x``. Shape: ``(d, d)``.

        Without ``parts``, ``W^T W`` is the inverse of the shrunk covariance (Mahalanobis
        distance). Every number then has the same weight, and the chance variation of many
        numbers hides a change in a few. With ``parts``, the squared distance of each part, given
        the parts before it, is divided by its standard deviation under chance, which is
        proportional to the square root of its length. The sum is scaled to the same mean as
        without ``parts``.
        """
        correlation = (self.basis * self.eigenvalues) @ self.basis.T
        shrunk = (1.0 - shrinkage) * correlation + shrinkage * np.eye(len(correlation))
        # Row i of the inverse factor: number i without its regression on the numbers before it.
        innovations = np.linalg.inv(np.linalg.cholesky(shrunk))
        scaled: DoubleArray = _weights(parts, len(shrunk))[:, None] * innovations / self.deviations
        return scaled

    def likelihood_of(self, rows: DoubleArray, shrinkage: float) -> tuple[DoubleArray, DoubleArray]:
        """Gaussian log-likelihood and squared distance of centred rows, both per number.

        Shape: ``(n, d)`` to two of ``(n,)``. The constant of the likelihood is left out.
        """
        n_numbers = rows.shape[1]
        shrunk = self._shrunk(shrinkage)
        projected = (rows / self.deviations) @ self.basis
        squared = np.square(projected) @ (1.0 / shrunk)
        log_volume = np.log(shrunk).sum() + 2.0 * np.log(self.deviations).sum()
        return -0.5 * (squared + log_volume) / n_numbers, squared / n_numbers

    def _shrunk(self, shrinkage: float) -> DoubleArray:
        return (1.0 - shrinkage) * self.eigenvalues + shrinkage


def _weights(parts: Sequence[slice], n_numbers: int) -> DoubleArray:
    """The factor of each number's innovation. Shape: ``(d,)``."""
    weight = np.ones(n_numbers)
    for part in parts:
        weight[part] = 1.0 / np.sqrt(len(weight[part]))
    factors: DoubleArray = np.sqrt(weight / weight.mean())
    return factors


def scatter_of(groups: Sequence[DoubleArray], added: DoubleArray | None = None) -> Scatter:
    """The pooled scatter of groups of rows, each already centred on its own centre.

    Shape: every group ``(n, d)``; ``added`` is a covariance ``(d, d)`` beside theirs. Rows are
    scaled by ``sqrt(n / (n - 1))``, because ``n`` rows around their own mean show only
    ``(n - 1) / n`` of the variance.
    """
    rows = np.concatenate(
        [group * np.sqrt(len(group) / max(len(group) - 1, 1)) for group in groups]
    )
    covariance = rows.T @ rows / len(rows)
    if added is not None:
        covariance += added
    deviations = np.maximum(np.sqrt(np.diag(covariance)), _LEAST_DEVIATION)
    eigenvalues, basis = np.linalg.eigh(covariance / np.outer(deviations, deviations))
    return Scatter(deviations, np.maximum(eigenvalues, 0.0), basis)
