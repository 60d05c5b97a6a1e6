"""PCA, the best linear autoencoder."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.errors import UsageError
from training.images.pca import fit_pca


@pytest.mark.parametrize("shape", [(200, 12), (8, 30)])
def test_it_is_the_singular_value_decomposition(shape: tuple[int, int]) -> None:
    """The baseline of every figure would be wrong."""
    x = np.random.default_rng(0).normal(size=shape).cumsum(axis=1)
    pca = fit_pca(x.astype(np.float32), 5)
    centred = x - x.mean(axis=0)
    left, singular, right = np.linalg.svd(centred, full_matrices=False)
    expected = (left[:, :5] * singular[:5]) @ right[:5] + x.mean(axis=0)
    np.testing.assert_allclose(pca.reconstruct(x.astype(np.float32)), expected, atol=1e-4)
    np.testing.assert_allclose(pca.variances, singular[:5] ** 2 / len(x), rtol=1e-4)


def test_a_single_example_has_no_variance() -> None:
    """A score of very few images would be NaN."""
    pca = fit_pca(np.ones((1, 3), dtype=np.float32), 1)
    np.testing.assert_array_equal(pca.variances, [0.0])
    np.testing.assert_array_equal(pca.reconstruct(np.ones((1, 3), dtype=np.float32)), 1.0)


def test_data_in_a_plane_are_reconstructed_exactly() -> None:
    """Encoding and decoding would not be inverse to each other."""
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(50, 2)) @ rng.normal(size=(2, 9)) + 3).astype(np.float32)
    pca = fit_pca(x, 2)
    np.testing.assert_allclose(pca.reconstruct(x), x, atol=1e-4)
    np.testing.assert_allclose(pca.components @ pca.components.T, np.eye(2), atol=1e-5)


@pytest.mark.parametrize("n_components", [0, 7])
def test_an_impossible_size_is_refused(n_components: int) -> None:
    """Components that the data do not have would be invented."""
    with pytest.raises(UsageError, match="1 to 6 components"):
        fit_pca(np.zeros((10, 6), dtype=np.float32), n_components)
