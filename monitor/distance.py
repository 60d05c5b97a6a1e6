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
    ``references``: ``(n_references, d)``, the healthy evidence of other machines of the type,
    and ``reference_limits`` ``(n_references,)``, how far towards each of them the machine's own
    healthy sound may lie (see ``likeness.py``). ``healthy``: the evidence of the machine's
    healthy recordings, each averaged over all of its length, where it is known.
    """

    centres: npt.NDArray[np.float64]
    whitener: npt.NDArray[np.float64]
    references: npt.NDArray[np.float64] = field(default_factory=_none)
    reference_limits: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    healthy: Sample | None = None


def distance(evidence: npt.NDArray[np.float64], head: Head) -> float:
    """``min over r of |whitener (evidence - centre_r)|``. Shape: ``(d,)`` to a number >= 0.

    With the inverse square root of the healthy covariance for a whitener this is
    Mahalanobis' distance (1936, Proc. Nat. Inst. Sci. India 2).
    """
    whitened = (evidence - head.centres) @ head.whitener.T
    return float(np.sqrt(np.square(whitened).sum(axis=1).min()))
