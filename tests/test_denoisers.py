"""The classical denoisers, with which trained ones are compared."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tiny_images import bars
from training.images.classical_denoisers import classical_denoisers, denoise_each
from training.images.image_set import add_noise
from training.metrics import psnr_db

SIGMA = 0.15


@pytest.mark.parametrize("name", list(classical_denoisers(SIGMA)))
@pytest.mark.parametrize("channels", [1, 3])
def test_a_classical_denoiser_removes_noise(name: str, channels: int) -> None:
    """A trained denoiser would be compared with a broken one."""
    clean = np.repeat(bars(4, 0, side=24).scaled(), channels, axis=1)
    noisy = add_noise(clean, SIGMA, np.random.default_rng(0))
    denoised = denoise_each(classical_denoisers(SIGMA)[name], noisy)
    assert denoised.shape == clean.shape
    assert psnr_db(clean, denoised) > psnr_db(clean, noisy) + 1
