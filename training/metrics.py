"""Metrics: ROC AUC and partial AUC, which the run time has as well, PSNR, SSIM."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from monitor.offline.roc import partial_auc, roc_auc

__all__ = ["SMALLEST_SSIM_SIDE", "mean_psnr_db", "partial_auc", "psnr_db", "roc_auc", "ssim"]

SMALLEST_SSIM_SIDE = 3


def psnr_db(clean: NDArray[np.float32], estimate: NDArray[np.float32]) -> float:
    """Return the peak signal-to-noise ratio -10 log10(MSE) over all elements together, peak 1.

    Both are in 0..1. Without any error the result is 100 dB.
    """
    error = np.square(clean.astype(np.float64) - estimate).mean()
    return float(-10.0 * np.log10(max(error, 1e-10)))


def mean_psnr_db(clean: NDArray[np.float32], estimate: NDArray[np.float32]) -> float:
    """Return the mean of the PSNR of each image; it is never below ``psnr_db``."""
    error = np.square(clean.astype(np.float64) - estimate).reshape(len(clean), -1).mean(axis=1)
    return float(np.mean(-10.0 * np.log10(np.maximum(error, 1e-10))))


def ssim(clean: NDArray[np.float32], estimate: NDArray[np.float32]) -> float:
    """Return the mean structural similarity (Wang et al. 2004) of ``(n, c, h, w)`` in 0..1.

    It is scikit-image's, with a window of 7 x 7, or the largest odd one in a smaller image. Both
    sides of an image have at least ``SMALLEST_SSIM_SIDE`` pixels.
    """
    smallest = min(clean.shape[-2:])
    window = min(7, smallest - 1 + smallest % 2)
    values = [
        structural_similarity(a, b, data_range=1.0, channel_axis=0, win_size=window)
        for a, b in zip(clean, estimate, strict=True)
    ]
    return float(np.mean(values))
