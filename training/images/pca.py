"""PCA, the best linear autoencoder: the baseline of every figure of a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA

from monitor.domain import FloatArray
from monitor.errors import UsageError


@dataclass(frozen=True, slots=True)
class Pca:
    """``z = A (x - mean)`` and ``x_hat = mean + A^T z`` with ``components`` A ``(k, d)``.

    ``variances`` ``(k,)`` are those of the training data along the components, largest first.
    """

    mean: FloatArray
    components: FloatArray
    variances: FloatArray

    def encode(self, x: FloatArray) -> FloatArray:
        """Project ``(n, d)`` to ``(n, k)``."""
        return np.asarray((x - self.mean) @ self.components.T, dtype=np.float32)

    def decode(self, z: FloatArray) -> FloatArray:
        """Map ``(n, k)`` back to ``(n, d)``."""
        return np.asarray(z @ self.components + self.mean, dtype=np.float32)

    def reconstruct(self, x: FloatArray) -> FloatArray:
        """Map ``(n, d)`` through the bottleneck and back."""
        return self.decode(self.encode(x))


def fit_pca(x: FloatArray, n_components: int) -> Pca:
    """Fit PCA to ``x`` ``(n, d)`` with scikit-learn.

    Of all linear maps through ``n_components`` numbers this has the smallest squared error
    (Baldi & Hornik 1989). Raises UsageError unless 1 <= ``n_components`` <= min(n, d).
    """
    n, d = x.shape
    if not 1 <= n_components <= min(n, d):
        raise UsageError(
            f"PCA of {n} examples with {d} elements has 1 to {min(n, d)} components, "
            f"not {n_components}"
        )
    # The covariance is quicker than the data where it is smaller. It needs double precision.
    pca = PCA(n_components, svd_solver="covariance_eigh" if n > d else "full")
    with np.errstate(invalid="ignore", divide="ignore"):  # a single example varies by 0 / 0
        pca.fit(x.astype(np.float64))
    return Pca(
        pca.mean_.astype(np.float32),
        np.ascontiguousarray(pca.components_, dtype=np.float32),
        (pca.singular_values_**2 / n).astype(np.float32),
    )
