"""What varies in healthy evidence: covariance estimates that few recordings support.

Evidence has a few hundred numbers and there are often fewer healthy recordings than
that, so the sample covariance is shrunk towards its own diagonal (Ledoit and Wolf 2004,
J. Multivariate Analysis 88; Schaefer and Strimmer 2005 for the diagonal target). How far
is found by the likelihood of recordings that were left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DIAGONAL = 1.0
SHRINKAGES = (0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, DIAGONAL)
"""Below .003 the likelihood of left-out recordings rises on directions in which residual and
spectrum are nearly the same numbers, and detection falls."""
_LEAST_DEVIATION = 1e-4

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scatter:
    """The second moments of centred evidence, ready for any shrinkage.

    ``deviations`` ``(d,)``; ``eigenvalues`` ``(d,)`` and ``basis`` ``(d, d)`` of the
    correlation matrix.
    """

    deviations: FloatArray
    eigenvalues: FloatArray
    basis: FloatArray

    def whitener(self, shrinkage: float, parts: Sequence[slice] = ()) -> FloatArray:
        """W, with ``|W x|`` the distance of centred evidence ``x``. Shape: ``(d, d)``.

        Without ``parts`` ``W^T W`` is the inverse of the shrunk covariance (Mahalanobis).
        That gives every number the same say, and a change in a few numbers drowns in what
        many others do by chance. With them, the squared distance of each part, given the
        parts before it, is measured in units of its chance spread, which goes with the
        square root of its length: together they are the sum of the parts' standard scores,
        scaled to the same mean as without.
        """
        correlation = (self.basis * self.eigenvalues) @ self.basis.T
        shrunk = (1.0 - shrinkage) * correlation + shrinkage * np.eye(len(correlation))
        # Row i of the inverse factor is what number i says beyond those before it.
        innovations = np.linalg.inv(np.linalg.cholesky(shrunk))
        scaled: FloatArray = _say(parts, len(shrunk))[:, None] * innovations / self.deviations
        return scaled

    def fit_of(self, rows: FloatArray, shrinkage: float) -> tuple[FloatArray, FloatArray]:
        """Gaussian log-likelihood and squared distance of centred rows, both per number.

        Shape: ``(n, d)`` to two of ``(n,)``. The constant of the likelihood is left out.
        """
        n_numbers = rows.shape[1]
        shrunk = self._shrunk(shrinkage)
        projected = (rows / self.deviations) @ self.basis
        squared = np.square(projected) @ (1.0 / shrunk)
        log_volume = np.log(shrunk).sum() + 2.0 * np.log(self.deviations).sum()
        return -0.5 * (squared + log_volume) / n_numbers, squared / n_numbers

    def _shrunk(self, shrinkage: float) -> FloatArray:
        return (1.0 - shrinkage) * self.eigenvalues + shrinkage


def _say(parts: Sequence[slice], n_numbers: int) -> FloatArray:
    """What each number's innovation is multiplied by. Shape: ``(d,)``."""
    weight = np.ones(n_numbers)
    for part in parts:
        weight[part] = 1.0 / np.sqrt(len(weight[part]))
    say: FloatArray = np.sqrt(weight / weight.mean())
    return say


def scatter_of(groups: Sequence[FloatArray]) -> Scatter:
    """The pooled scatter of groups of rows that are already centred, each on its own centre.

    Shape: every group ``(n, d)``. A group of ``n`` rows around their own mean shows only
    ``(n - 1) / n`` of its variance, which is made up for.
    """
    rows = np.concatenate(
        [group * np.sqrt(len(group) / max(len(group) - 1, 1)) for group in groups]
    )
    covariance = rows.T @ rows / len(rows)
    deviations = np.maximum(np.sqrt(np.diag(covariance)), _LEAST_DEVIATION)
    eigenvalues, basis = np.linalg.eigh(covariance / np.outer(deviations, deviations))
    return Scatter(deviations, np.maximum(eigenvalues, 0.0), basis)
