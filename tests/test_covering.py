"""The covariance in which unusual healthy rows count more."""

from __future__ import annotations

import numpy as np
import pytest

from training.sound import covering
from training.sound.covariance import scatter_of
from training.sound.covering import covering_scatter

D = 20
SHRINKAGE = 0.003


def squared(rows: np.ndarray, whitener: np.ndarray) -> np.ndarray:
    distances: np.ndarray = np.square(rows @ whitener.T).sum(axis=1)
    return distances


def with_noises(n: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of which one in ten also has a loud noise, which is of three kinds."""
    noises = 3.0 * np.random.default_rng(9).normal(size=(3, D))
    rows = rng.normal(size=(n, D))
    loud = rng.random(n) < 0.1
    rows[loud] += rng.normal(size=(int(loud.sum()), 3)) @ noises
    return rows


def test_more_faults_are_over_all_new_healthy_rows() -> None:
    """A rare healthy noise hides faults as it does with the plain covariance."""
    over = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows, healthy = with_noises(200, rng), with_noises(200, rng)
        fault = healthy + 1.6 * rng.choice([-1.0, 1.0], size=(200, D))
        shares = []
        for scatter in (scatter_of([rows]), covering_scatter([rows], None, SHRINKAGE)):
            whitener = scatter.whitener(SHRINKAGE)
            threshold = squared(healthy, whitener).max()
            shares.append((squared(fault, whitener) > threshold).mean())
        over.append(shares)
    plain, covering_share = np.mean(over, axis=0)
    assert covering_share > plain + 0.05


def test_many_steps_lead_to_the_smallest_ellipsoid(monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps lead elsewhere: no row is further out than the number of dimensions."""
    monkeypatch.setattr(covering, "STEPS", 3_000)
    rows = with_noises(60, np.random.default_rng(0))
    scatter = covering_scatter([rows], None, 0.0)
    # Kiefer and Wolfowitz (1960, Canadian Journal of Mathematics 12): the equivalence theorem.
    scaled = rows * np.sqrt(len(rows) / (len(rows) - 1))
    assert squared(scaled, scatter.whitener(0.0)).max() == pytest.approx(D, rel=0.02)


def test_equally_unusual_rows_have_equal_weight() -> None:
    """Rows at one distance have different weights."""
    rows = np.concatenate((np.eye(D), -np.eye(D)))
    added = 0.1 * np.eye(D)
    found = covering_scatter([rows], added, SHRINKAGE)
    np.testing.assert_allclose(found.covariance, scatter_of([rows], added).covariance, atol=1e-12)


def test_rows_without_any_variation_are_no_error() -> None:
    """Weights are divided by zero."""
    found = covering_scatter([np.zeros((5, D))], None, SHRINKAGE)
    assert np.isfinite(found.whitener(SHRINKAGE)).all()
