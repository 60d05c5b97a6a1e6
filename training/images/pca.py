"""PCA: the linear autoencoder, and the floor beside every figure of a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.errors import UsageError

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pca:
    """``z = A (x - mean)`` and ``x_hat = mean + A^T z`` with ``components`` A ``(k, d)``.

    ``variances`` ``(k,)`` are those of the training data along the components, falling.
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
    """Fit PCA to ``x`` ``(n, d)`` by a singular value decomposition of the centred data.

    Of all linear maps through ``n_components`` numbers this has the least squared error
    (Baldi & Hornik 1989). Where n > d the SVD is taken of the triangle of a QR decomposition, which
    has the same singular values and right vectors. Raises UsageError unless
    1 <= ``n_components`` <= min(n, d).
    """
    n, d = x.shape
    if not 1 <= n_components <= min(n, d):
        raise UsageError(
            f"PCA of {n} examples with {d} elements has 1 to {min(n, d)} components, "
            f"not {n_components}"
        )
    mean = x.mean(axis=0, dtype=np.float64)
    centred = x - mean.astype(np.float32)
    triangle = np.linalg.qr(centred, mode="r") if n > d else centred
    _, singular, right = np.linalg.svd(triangle, full_matrices=False)
    return Pca(
        mean.astype(np.float32),
        np.ascontiguousarray(right[:n_components], dtype=np.float32),
        (singular[:n_components] ** 2 / n).astype(np.float32),
    )
