"""Regimes (operating states): the speeds and loads at which a machine is healthy, without labels.

Healthy evidence is clustered by a Gaussian mixture whose components share one covariance. One
more component is accepted only if it makes held-out recordings more likely.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from monitor.domain import DoubleArray

logger = logging.getLogger(__name__)

MOST_REGIMES = 8
_DIRECTIONS = 6
LEAST_RECORDINGS = 8
_LEAST_ROWS = 6
_LEAST_GAIN = 0.5
_FOLDS = 4
_STARTS = 2
_MOST_FAILURES = 2

Labels = npt.NDArray[np.intp]


def find_regimes(rows_by_recording: Sequence[DoubleArray], seed: int = 0) -> list[Labels]:
    """The regime of every row, numbered from 0, for each recording.

    Shape: ``(n_i, d)`` each to ``(n_i,)`` each. One regime if there are fewer than eight
    recordings or no separate groups. Every regime occurs in at least two recordings: sound
    that only one recording has may be a fault.
    """
    counts = [len(rows) for rows in rows_by_recording]
    rows = np.concatenate(list(rows_by_recording))
    labels = np.zeros(len(rows), dtype=np.intp)
    if len(counts) >= LEAST_RECORDINGS:
        recording = np.repeat(np.arange(len(counts)), counts)
        projected = _leading_directions(rows)
        n_regimes = _supported_regimes(projected, recording, seed)
        if n_regimes > 1:
            labels = _occupied(_mixture(projected, n_regimes, seed).predict(projected))
    return np.split(labels, np.cumsum(counts)[:-1])


def regime_centres(rows: DoubleArray, labels: Labels) -> DoubleArray:
    """The mean of the rows of each regime. Shape: ``(n, d)`` and ``(n,)`` to ``(n_regimes, d)``."""
    return np.stack([rows[labels == regime].mean(axis=0) for regime in range(labels.max() + 1)])


def nearest(rows: DoubleArray, centres: DoubleArray, deviations: DoubleArray) -> Labels:
    """The nearest centre of each row, in deviations. Shape: ``(n, d)`` to ``(n,)``."""
    distances = [np.square((rows - centre) / deviations).sum(axis=1) for centre in centres]
    closest: Labels = np.argmin(distances, axis=0)
    return closest


def _leading_directions(rows: DoubleArray) -> DoubleArray:
    """Standardised rows along their directions of largest variance. Shape: ``(n, <= 6)``."""
    centred = rows - rows.mean(axis=0)
    standardised = centred / np.maximum(centred.std(axis=0), 1e-6)
    left, singular, _ = np.linalg.svd(standardised, full_matrices=False)
    n_directions = min(_DIRECTIONS, len(rows) // 6)
    projected: DoubleArray = left[:, :n_directions] * singular[:n_directions]
    return projected


def _supported_regimes(rows: DoubleArray, recording: Labels, seed: int) -> int:
    """How many components make held-out recordings most likely."""
    fold = recording % _FOLDS
    best, best_likelihood = 1, _left_out_likelihood(rows, fold, 1, seed)
    for n_regimes in range(2, MOST_REGIMES + 1):
        if n_regimes - best > _MOST_FAILURES or len(rows) < _LEAST_ROWS * n_regimes:
            break
        likelihood = _left_out_likelihood(rows, fold, n_regimes, seed)
        gain = float((likelihood - best_likelihood).mean())
        logger.debug("%d regimes: held-out likelihood %+.3f a row", n_regimes, gain)
        if gain > _LEAST_GAIN * (n_regimes - best) and _all_in_two_recordings(
            rows, recording, n_regimes, seed
        ):
            best, best_likelihood = n_regimes, likelihood
    return best


def _all_in_two_recordings(rows: DoubleArray, recording: Labels, n_regimes: int, seed: int) -> bool:
    labels = _mixture(rows, n_regimes, seed).predict(rows)
    return all(len(np.unique(recording[labels == label])) > 1 for label in np.unique(labels))


def _left_out_likelihood(rows: DoubleArray, fold: Labels, n_regimes: int, seed: int) -> DoubleArray:
    likelihood = np.empty(len(rows))
    for left_out in np.unique(fold):
        inside = fold != left_out
        mixture = _mixture(rows[inside], n_regimes, seed)
        likelihood[~inside] = mixture.score_samples(rows[~inside])
    return likelihood


def _mixture(rows: DoubleArray, n_regimes: int, seed: int) -> GaussianMixture:
    mixture = GaussianMixture(
        n_regimes, covariance_type="tied", n_init=_STARTS, random_state=seed, reg_covar=1e-3
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(rows)


def _occupied(labels: npt.NDArray[np.integer]) -> Labels:
    """Labels renumbered without gaps."""
    renumbered: Labels = np.unique(labels, return_inverse=True)[1].astype(np.intp)
    return renumbered
