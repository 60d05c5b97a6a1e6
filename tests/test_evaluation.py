"""The metrics, compared with independent implementations and known values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio

from monitor.errors import UsageError
from training.metrics import mean_psnr_db, partial_auc, psnr_db, roc_auc, ssim


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30), st.data())
def test_roc_auc_is_the_probability_of_the_order(scores: list[int], data: st.DataObject) -> None:
    """The reported detection quality would be wrong."""
    labels = data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    if all(labels) or not any(labels):
        return
    pairs = [
        1.0 if a > n else 0.5 if a == n else 0.0
        for a, is_a in zip(scores, labels, strict=True)
        if is_a
        for n, is_n in zip(scores, labels, strict=True)
        if not is_n
    ]
    assert roc_auc(labels, scores) == pytest.approx(sum(pairs) / len(pairs))


def test_partial_auc_is_one_half_for_chance_and_one_for_perfection() -> None:
    """The partial area could not be compared with published figures."""
    assert partial_auc([0, 0, 1, 1], [1, 2, 3, 4]) == 1.0
    same = np.zeros(40)
    assert partial_auc(np.arange(40) % 2, same, max_fpr=0.1) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("labels", "scores"), [([1, 1], [1, 2]), ([0, 1], [1, math.nan]), ([0, 1, 1], [1, 2])]
)
def test_an_impossible_curve_is_refused(labels: list[int], scores: list[float]) -> None:
    """A meaningless figure would be printed."""
    with pytest.raises(UsageError):
        roc_auc(labels, scores)


def test_psnr_agrees_with_scikit_image() -> None:
    """The PSNR could not be compared with published figures."""
    rng = np.random.default_rng(0)
    clean = rng.random((5, 1, 9, 9), dtype=np.float32)
    noisy = np.clip(clean + rng.normal(0, [[[[0.1]]]] * 5, clean.shape), 0, 1).astype(np.float32)
    assert psnr_db(clean, noisy) == pytest.approx(
        peak_signal_noise_ratio(clean, noisy, data_range=1.0), abs=1e-3
    )
    assert mean_psnr_db(clean, noisy) >= psnr_db(clean, noisy)
    assert psnr_db(clean, clean) == 100.0


@pytest.mark.parametrize("side", [4, 28])
def test_ssim_is_one_for_the_image_itself(side: int) -> None:
    """The similarity would be wrong, or fail for small images."""
    images = np.random.default_rng(0).random((2, 3, side, side), dtype=np.float32)
    assert ssim(images, images) == pytest.approx(1.0)
    assert ssim(images, images[::-1]) < 0.5
