"""How far evidence is from what is healthy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from monitor.mean_shift import Sample


def _none() -> npt.NDArray[np.float64]:
    return np.empty((0, 0))


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
    references: npt.NDArray[np.float64] = field(default_factory=_none)
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
    return float(np.sqrt(_squared(evidence, head).min()))


def offset(evidence: npt.NDArray[np.float64], head: Head) -> npt.NDArray[np.float64]:
    """The evidence less its nearest centre, of which there must be one. Shape: ``(d,)``."""
    nearest: npt.NDArray[np.float64] = evidence - head.centres[_squared(evidence, head).argmin()]
    return nearest


def _squared(evidence: npt.NDArray[np.float64], head: Head) -> npt.NDArray[np.float64]:
    whitened = (evidence - head.centres) @ head.whitener.T
    squared: npt.NDArray[np.float64] = np.square(whitened).sum(axis=1)
    return squared
