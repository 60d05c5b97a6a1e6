"""Denoisers without training, for comparison."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
from skimage.restoration import denoise_nl_means, denoise_wavelet

from monitor.domain import FloatArray


def classical_denoisers(sigma: float) -> dict[str, Callable[[FloatArray], FloatArray]]:
    """Return denoisers of one image ``(c, h, w)`` in 0..1 with Gaussian noise of ``sigma``.

    Non-local means (Buades et al. 2005) and wavelet shrinkage (Chang et al. 2000) are
    scikit-image's. BM3D (Dabov et al. 2007) is included if the package ``bm3d`` is installed. It is
    not a dependency, because its licence allows non-commercial use only.
    """
    denoisers = {
        "non-local means": lambda image: _nl_means(image, sigma),
        "wavelet": lambda image: denoise_wavelet(image, sigma=sigma, channel_axis=0),
    }
    try:
        bm3d = importlib.import_module("bm3d").bm3d
    except ImportError:
        return denoisers
    return denoisers | {"BM3D": lambda image: _bm3d(bm3d, image, sigma)}


def denoise_each(denoiser: Callable[[FloatArray], FloatArray], images: FloatArray) -> FloatArray:
    """Apply ``denoiser`` to each of ``images`` ``(n, c, h, w)`` and clip to 0..1."""
    return np.stack(
        [np.clip(denoiser(x).reshape(x.shape), 0, 1).astype(np.float32) for x in images]
    )


def _nl_means(image: FloatArray, sigma: float) -> FloatArray:
    """Denoise with the exact, slow algorithm and the strength that scikit-image recommends."""
    last = image.transpose(1, 2, 0)
    # scikit-image misreads a channel axis of length 1.
    plane, axis = (last[:, :, 0], None) if len(image) == 1 else (last, -1)
    denoised = denoise_nl_means(
        plane,
        patch_size=5,
        patch_distance=6,
        h=0.6 * sigma,
        sigma=sigma,
        fast_mode=False,
        channel_axis=axis,
    )
    return np.asarray(denoised).reshape(last.shape).transpose(2, 0, 1)


def _bm3d(bm3d: Callable[..., FloatArray], image: FloatArray, sigma: float) -> FloatArray:
    return (
        np.asarray(bm3d(image.transpose(1, 2, 0), sigma))
        .reshape(image.shape[1], image.shape[2], -1)
        .transpose(2, 0, 1)
    )
