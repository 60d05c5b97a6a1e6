"""The head: averaged evidence and loss to a score.

A bundle stores the kind of its score and the arrays of its head. ``HEADS`` gives the class for
each kind, so that nothing else compares kinds.

The distance from the nearest centre adds up every number of the evidence. A fault that changes a
few neighbouring bands only is hidden by the chance variation of all the others. So the *local
distance* is measured too: the largest distance within ``LOCAL_NUMBERS`` neighbouring numbers. It is
a scan statistic (Glaz, Naus and Wallenstein 2001, Scan Statistics). The score is the larger of the
distance and the local distance times a weight, by which both are equally rare in healthy sound.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt

from monitor.domain import DoubleArray, FloatArray
from monitor.model.manifest import ScoreKind

LOCAL_NUMBERS = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """``n`` recordings by the ``mean`` and the unbiased ``variance`` of each number.

    Shape: ``(d,)`` both; ``n`` is at least 2.
    """

    mean: DoubleArray
    variance: DoubleArray
    n: int


def sample_of(rows: DoubleArray) -> Sample:
    """Shape: ``(n, d)``, ``n`` at least 2."""
    return Sample(rows.mean(axis=0), rows.var(axis=0, ddof=1), len(rows))


@dataclass(frozen=True, slots=True)
class Head(ABC):
    """The arrays of ``head.npz``, and the score that they give.

    ``centres``: ``(n_regimes, d)``, the mean evidence of each healthy operating state.
    ``whitener``: ``(k, d)``, the matrix of the distance; that of a bundle is in single precision.
    A loss head has ``(0, d)`` for both.
    ``references``: ``(n_references, d)``, the mean evidence of each healthy operating state of
    the reference machines. ``reference_machines``: ``(n_references,)``, the machine of each row,
    from 0. ``reference_limits``: ``(n_references,)``, the position beyond which sound is that of
    the reference machine (:mod:`monitor.model.reference_match`). ``healthy``: the mean offsets of
    the healthy recordings from their nearest centres, None where they are not known.
    ``local_weight``: of the local distance, 0 to leave it out. ``local_limit``: a recording is
    judged by its local distance only if this, times the weight, is above the limit.
    ``is_distance``: whether scores are distances; otherwise they are mean squared errors.
    """

    centres: DoubleArray
    whitener: npt.NDArray[np.floating]
    references: DoubleArray = field(default_factory=lambda: np.empty((0, 0)))
    reference_machines: npt.NDArray[np.intp] = field(
        default_factory=lambda: np.empty(0, dtype=np.intp)
    )
    reference_limits: DoubleArray = field(default_factory=lambda: np.empty(0))
    healthy: Sample | None = None
    local_weight: float = 0.0
    local_limit: float = 0.0

    is_distance: ClassVar[bool]
    whitened_centres: DoubleArray = field(init=False, repr=False, compare=False)
    """``(n_regimes, k)``, each centre as :func:`whitened` gives it."""

    def __post_init__(self) -> None:
        """Prepare what every score needs."""
        # A product of few rows with a matrix takes a third of the time if its columns lie together.
        object.__setattr__(self, "whitener", np.ascontiguousarray(self.whitener.T).T)
        object.__setattr__(self, "whitened_centres", whitened(self.centres, self))

    def score(self, evidence: DoubleArray, loss: float) -> float:
        """The score of a span, >= 0, from its mean evidence ``(d,)`` and its mean loss."""
        return float(self.scores(whitened(evidence[None], self), np.array([loss]))[0])

    @abstractmethod
    def scores(self, whitened_rows: DoubleArray, losses: DoubleArray) -> DoubleArray:
        """The score of each of ``n`` spans from its mean evidence, whitened, and its mean loss.

        Shape: ``(n, k)`` and ``(n,)`` to ``(n,)``.
        """


class DistanceHead(Head):
    """The distance of the evidence from the nearest healthy operating state, or the local one."""

    __slots__ = ()
    is_distance = True

    def scores(self, whitened_rows: DoubleArray, losses: DoubleArray) -> DoubleArray:  # noqa: ARG002 - only LossHead needs them
        """The larger of the distance and the weighted local distance, see :func:`distances_of`."""
        return larger_distance(*distances_between(whitened_rows, self.whitened_centres), self)


class LossHead(Head):
    """The mean reconstruction error, without statistics of healthy evidence."""

    __slots__ = ()
    is_distance = False

    @classmethod
    def for_evidence(cls, n_numbers: int) -> LossHead:
        """The head of a network whose evidence has ``n_numbers`` numbers."""
        return cls(np.empty((0, n_numbers)), np.empty((0, n_numbers)))

    def scores(self, whitened_rows: DoubleArray, losses: DoubleArray) -> DoubleArray:  # noqa: ARG002 - only DistanceHead needs them
        """The losses themselves."""
        return losses


HEADS: Final[dict[ScoreKind, type[Head]]] = {
    "plain": LossHead,
    "diagonal": DistanceHead,
    "covariance": DistanceHead,
}
"""The head of each kind of score. Diagonal and covariance differ only in the whitener."""


def distances_of(rows: DoubleArray, head: Head) -> tuple[DoubleArray, DoubleArray]:
    """The distance and the local distance of each row of evidence from its nearest centre.

    Shape: ``(n, d)`` to ``(n,)``, twice. The distance is
    ``min over r of |whitener (evidence - centre_r)|``. With the inverse square root of the healthy
    covariance as whitener this is Mahalanobis' distance (1936, Proc. Nat. Inst. Sci. India 2).
    ``head`` must have a centre.
    """
    return distances_between(whitened(rows, head), head.whitened_centres)


def larger_distance(distance: DoubleArray, local: DoubleArray, head: Head) -> DoubleArray:
    """The larger of distance and weighted local distance. Shape: ``(n,)``, twice, to ``(n,)``."""
    larger: DoubleArray = np.maximum(distance, head.local_weight * local)
    return larger


def whitened(rows: FloatArray | DoubleArray, head: Head) -> DoubleArray:
    """``whitener (x - first centre)`` of every row ``x``. Shape: ``(n, d)`` to ``(n, k)``.

    The difference comes first, so that single precision is enough for the product.
    """
    return np.asarray(_from_first_centre(rows, head) @ head.whitener.T, dtype=np.float64)


def whitened_one_by_one(rows: FloatArray | DoubleArray, head: Head) -> DoubleArray:
    """As :func:`whitened`; a row gives the same bits whatever the others are."""
    differences = _from_first_centre(rows, head)[:, np.newaxis]
    return np.asarray((differences @ head.whitener.T)[:, 0], dtype=np.float64)


def _from_first_centre(rows: FloatArray | DoubleArray, head: Head) -> npt.NDArray[np.floating]:
    differences = rows - head.centres[0] if len(head.centres) else rows
    return differences.astype(head.whitener.dtype)


def distances_between(rows: DoubleArray, centres: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """As :func:`distances_of`, of rows and centres that are whitened already.

    Shape: ``(n, k)`` and ``(n_regimes, k)`` to ``(n,)``, twice.
    """
    if len(centres) == 1:
        squared = np.square(rows - centres)
    else:
        all_squared = np.square(rows[None] - centres[:, None])
        nearest = all_squared.sum(axis=2).argmin(axis=0)
        squared = all_squared[nearest, np.arange(len(rows))]
    # The distance is the last one of the sums from which the local distances are made.
    n_numbers = min(LOCAL_NUMBERS, squared.shape[1])
    sums = squared.cumsum(axis=1)
    runs = sums[:, n_numbers - 1 :].copy()
    np.subtract(runs[:, 1:], sums[:, :-n_numbers], out=runs[:, 1:])
    # A difference of sums may be a little below 0.
    largest = runs.max(axis=1, initial=0.0)
    return np.sqrt(sums[:, -1]), np.sqrt(largest)


def offset(evidence: DoubleArray, head: Head) -> DoubleArray:
    """The evidence minus its nearest centre. Shape: ``(d,)``. ``head`` must have a centre."""
    nearest: DoubleArray = evidence - head.centres[to_centres(evidence, head).argmin()]
    return nearest


def squared_lengths(differences: DoubleArray, whitener: npt.NDArray[np.floating]) -> DoubleArray:
    """``|whitener x|^2`` of every row ``x``. Shape: ``(n, d)`` and ``(k, d)`` to ``(n,)``."""
    squared: DoubleArray = np.square(differences @ whitener.T).sum(axis=1)
    return squared


def to_centres(evidence: DoubleArray, head: Head) -> DoubleArray:
    """The squared distance to each centre. Shape: ``(d,)`` to ``(n_regimes,)``."""
    return squared_lengths(evidence - head.centres, head.whitener)
