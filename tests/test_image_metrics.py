"""The metrics of images, compared with independent implementations and known values."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from training.metrics import mean_psnr_db, psnr_db, ssim


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
