"""PCA: the best that a linear autoencoder can do."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from monitor.errors import UsageError
from training.images.pca import fit_pca


@pytest.mark.parametrize("shape", [(200, 12), (8, 30)])
def test_it_reconstructs_like_scikit_learns(shape: tuple[int, int]) -> None:
    """The floor beside every figure would be wrong."""
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32).cumsum(axis=1)
    ours = fit_pca(x, 5)
    theirs = PCA(5, svd_solver="full").fit(x)
    np.testing.assert_allclose(
        ours.reconstruct(x), theirs.inverse_transform(theirs.transform(x)), atol=1e-3
    )
    np.testing.assert_allclose(
        ours.variances, theirs.explained_variance_ * (len(x) - 1) / len(x), rtol=1e-3
    )


def test_what_lies_in_the_plane_comes_back_unchanged() -> None:
    """Encoding and decoding would not be inverse to one another on the plane."""
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(50, 2)) @ rng.normal(size=(2, 9)) + 3).astype(np.float32)
    pca = fit_pca(x, 2)
    np.testing.assert_allclose(pca.reconstruct(x), x, atol=1e-4)
    np.testing.assert_allclose(pca.components @ pca.components.T, np.eye(2), atol=1e-5)


@pytest.mark.parametrize("n_components", [0, 7])
def test_an_impossible_size_is_refused(n_components: int) -> None:
    """More components than the data has would be made up."""
    with pytest.raises(UsageError, match="1 to 6 components"):
        fit_pca(np.zeros((10, 6), dtype=np.float32), n_components)
