"""How far evidence is from what is healthy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sample:
    """``n`` recordings by the ``mean`` and the unbiased ``variance`` of each number.

    Shape: ``(d,)`` both; ``n`` is at least 2.
    """

    mean: FloatArray
    variance: FloatArray
    n: int


def sample_of(rows: FloatArray) -> Sample:
    """Shape: ``(n, d)``, ``n`` at least 2."""
    return Sample(rows.mean(axis=0), rows.var(axis=0, ddof=1), len(rows))


@dataclass(frozen=True, slots=True)
class Head:
    """What averaged evidence is compared with.

    ``centres``: ``(n_regimes, d)``, the evidence of each healthy regime.
    ``whitener``: ``(k, d)``; the score is the smallest
    ``|whitener (evidence - centre)|``. For the plain score both are ``(0, d)``.
    ``references``: ``(n_references, d)``, the evidence of each healthy regime of other machines
    of the type; ``reference_machines`` ``(n_references,)``, which machine's it is, from 0;
    ``reference_limits`` ``(n_references,)``, how far towards it the machine's own healthy sound
    may lie (see ``likeness.py``). ``healthy``: how the machine's healthy recordings lie around
    their nearest centres on average, where it is known.
    """

    centres: npt.NDArray[np.float64]
    whitener: npt.NDArray[np.float64]
    references: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    reference_machines: npt.NDArray[np.intp] = field(
        default_factory=lambda: np.empty(0, dtype=np.intp)
    )
    reference_limits: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    healthy: Sample | None = None


def distance(evidence: npt.NDArray[np.float64], head: Head) -> float:
    """``min over r of |whitener (evidence - centre_r)|``. Shape: ``(d,)`` to a number >= 0.

    With the inverse square root of the healthy covariance for a whitener this is
    Mahalanobis' distance (1936, Proc. Nat. Inst. Sci. India 2).
    """
    return float(np.sqrt(to_centres(evidence, head).min()))


def offset(evidence: npt.NDArray[np.float64], head: Head) -> npt.NDArray[np.float64]:
    """The evidence less its nearest centre, of which there must be one. Shape: ``(d,)``."""
    nearest: npt.NDArray[np.float64] = evidence - head.centres[to_centres(evidence, head).argmin()]
    return nearest


def squared_lengths(
    differences: npt.NDArray[np.float64], whitener: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """``|whitener x|^2`` of every row ``x``. Shape: ``(n, d)`` and ``(k, d)`` to ``(n,)``."""
    squared: npt.NDArray[np.float64] = np.square(differences @ whitener.T).sum(axis=1)
    return squared


def to_centres(evidence: npt.NDArray[np.float64], head: Head) -> npt.NDArray[np.float64]:
    """The squared distance to each centre. Shape: ``(d,)`` to ``(n_regimes,)``."""
    return squared_lengths(evidence - head.centres, head.whitener)
