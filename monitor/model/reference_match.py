"""Is this sound more like the bundle's own machine, or like one of its reference machines?

A score cannot tell: what varies between machines of one type is part of the covariance, and
a reference machine may well lie within what is healthy. But where a reference machine's
sound is, is known, and so is whether new sound lies on its side: the linear discriminant of
Fisher (1936, Annals of Eugenics 7) with the score's covariance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.model.head import Head, squared_lengths, to_centres

FloatArray = npt.NDArray[np.float64]
_LEAST_BETWEEN = 1e-12


@dataclass(frozen=True, slots=True)
class Likeness:
    """Where sound lies between the machine's own and that of the nearest reference machine.

    ``machine``: which one, counted from 0. ``way``: how far towards it, 0 where the machine's
    own healthy sound is on average and 1 where the reference machine's is; it may lie beyond
    both. ``limit``: how far the machine's own sound may lie.
    """

    machine: int
    way: float
    limit: float

    @property
    def is_the_references(self) -> bool:
        """Whether it is the reference machine's sound and not the machine's own."""
        return self.way > self.limit


@dataclass(frozen=True, slots=True)
class Bearings:
    """Squared distances of one piece of evidence, in the units of the score.

    ``own``: to the machine's nearest centre; ``to_reference``: to the nearest regime of each
    reference machine, ``between``: from that centre to that regime, and ``limits``: how far
    towards it the machine's own sound may lie, ``(n_machines,)`` each.
    """

    own: float
    to_reference: FloatArray
    between: FloatArray
    limits: FloatArray

    @property
    def ways(self) -> FloatArray:
        """How far towards each reference machine. Shape: ``(n_machines,)``.

        ``|x - centre|^2 - |x - reference|^2`` is linear in ``x``; over the squared distance
        between the two it is -1 at the centre and 1 at the reference machine.
        """
        lead = (self.own - self.to_reference) / np.maximum(self.between, _LEAST_BETWEEN)
        ways: FloatArray = 0.5 * (1.0 + lead)
        return ways


def take_bearings(evidence: FloatArray, head: Head) -> Bearings | None:
    """Shape: ``(d,)``. None where the head knows no reference machine."""
    if not len(head.references) or not len(head.centres):
        return None
    own = to_centres(evidence, head)
    to_regimes = squared_lengths(evidence - head.references, head.whitener)
    nearest = _nearest_of_each(head.reference_machines, to_regimes)
    between = head.centres[own.argmin()] - head.references[nearest]
    return Bearings(
        float(own.min()),
        to_regimes[nearest],
        squared_lengths(between, head.whitener),
        head.reference_limits[nearest],
    )


def likeness_of(pieces: Sequence[Bearings], head: Head) -> Likeness | None:
    """What the pieces of one recording say together, None where there are none.

    A machine may change its speed from piece to piece, so each piece has its own regimes.
    """
    if not pieces:
        return None
    together = Bearings(
        float(np.mean([piece.own for piece in pieces])),
        np.mean([piece.to_reference for piece in pieces], axis=0),
        np.mean([piece.between for piece in pieces], axis=0),
        np.mean([piece.limits for piece in pieces], axis=0),
    )
    nearest = int(np.argmin(together.to_reference))
    machine = int(np.unique(head.reference_machines)[nearest])
    return Likeness(machine, float(together.ways[nearest]), float(together.limits[nearest]))


def _nearest_of_each(machines: npt.NDArray[np.intp], squared: FloatArray) -> npt.NDArray[np.intp]:
    """The index of the nearest regime of each machine, machines in rising order."""
    by_machine = np.lexsort((squared, machines))
    first: npt.NDArray[np.intp] = np.unique(machines[by_machine], return_index=True)[1]
    return by_machine[first]
