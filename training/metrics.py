"""Metrics: ROC AUC, partial AUC, PSNR, SSIM."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.metrics import structural_similarity
from sklearn.metrics import roc_auc_score

from monitor.errors import UsageError


def roc_auc(anomalous: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve: P(anomalous score > normal score); ties count half.

    ``anomalous`` is true or 1 for anomalies; higher scores mean more anomalous. Raises UsageError
    unless there are normal and anomalous examples and all scores are finite.
    """
    labels, values = _checked(anomalous, scores)
    return float(roc_auc_score(labels, values))


def partial_auc(anomalous: ArrayLike, scores: ArrayLike, max_fpr: float = 0.1) -> float:
    """Return the area up to a false-positive rate of ``max_fpr``, standardised to 0.5 .. 1.

    The standardisation is that of McClish (1989): 0.5 for chance, 1 for a perfect score.
    """
    if not 0 < max_fpr <= 1:
        raise UsageError(f"max_fpr is {max_fpr}; it must be in (0, 1]")
    labels, values = _checked(anomalous, scores)
    return float(roc_auc_score(labels, values, max_fpr=max_fpr))


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

    It is scikit-image's, with a window of 7 x 7, or the largest odd one in a smaller image.
    """
    smallest = min(clean.shape[-2:])
    window = min(7, smallest - 1 + smallest % 2)
    values = [
        structural_similarity(a, b, data_range=1.0, channel_axis=0, win_size=window)
        for a, b in zip(clean, estimate, strict=True)
    ]
    return float(np.mean(values))


def _checked(
    anomalous: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    labels = np.asarray(anomalous).astype(bool)
    values = np.asarray(scores, dtype=np.float64)
    if labels.shape != values.shape or labels.ndim != 1:
        raise UsageError(f"{labels.shape} labels do not fit {values.shape} scores")
    if labels.all() or not labels.any():
        raise UsageError("an ROC curve needs normal and anomalous examples; there is only one kind")
    if not np.isfinite(values).all():
        raise UsageError("an ROC curve needs finite scores; one is NaN or infinite")
    return labels, values
