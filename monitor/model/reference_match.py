"""Whether sound is more like a reference machine than like the bundle's own machine.

The score cannot show this. The differences between machines of one type are part of the
covariance, so the sound of a reference machine may score as healthy. But its evidence is stored,
and the linear discriminant of Fisher (1936, Annals of Eugenics 7) with the covariance of the
score gives the position of new sound between the two machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.domain import DoubleArray
from monitor.model.head import Head, squared_lengths, to_centres

_LEAST_BETWEEN = 1e-12


@dataclass(frozen=True, slots=True)
class ReferenceMatch:
    """The position of sound between the bundle's own machine and the nearest reference machine.

    ``machine``: the reference machine, counted from 0. ``position``: 0 at the mean of the own
    machine's healthy sound, 1 at that of the reference machine; it may lie beyond both.
    ``limit``: the highest position that the own machine's healthy sound may have.
    """

    machine: int
    position: float
    limit: float

    @property
    def is_reference(self) -> bool:
        """Whether the sound is the reference machine's."""
        return self.position > self.limit


@dataclass(frozen=True, slots=True)
class ReferenceDistances:
    """Squared distances of one piece of evidence, in the units of the score.

    ``own``: to the nearest centre of the own machine. ``to_reference``: to the nearest operating
    state of each reference machine. ``between``: from that centre to that state. ``limits``: the
    highest position towards it that the own machine's healthy sound may have. Shape:
    ``(n_machines,)`` for the last three.
    """

    own: float
    to_reference: DoubleArray
    between: DoubleArray
    limits: DoubleArray

    @property
    def positions(self) -> DoubleArray:
        """The position towards each reference machine. Shape: ``(n_machines,)``.

        ``|x - centre|^2 - |x - reference|^2`` is linear in ``x``. Divided by the squared
        distance between the two it is -1 at the centre and 1 at the reference machine.
        """
        lead = (self.own - self.to_reference) / np.maximum(self.between, _LEAST_BETWEEN)
        positions: DoubleArray = 0.5 * (1.0 + lead)
        return positions


def distances_to_references(evidence: DoubleArray, head: Head) -> ReferenceDistances | None:
    """The distances of evidence ``(d,)``; None where the head has no reference machine."""
    if not len(head.references) or not len(head.centres):
        return None
    own = to_centres(evidence, head)
    to_states = squared_lengths(evidence - head.references, head.whitener)
    nearest = _nearest_of_each(head.reference_machines, to_states)
    between = head.centres[own.argmin()] - head.references[nearest]
    return ReferenceDistances(
        float(own.min()),
        to_states[nearest],
        squared_lengths(between, head.whitener),
        head.reference_limits[nearest],
    )


def match_reference(pieces: Sequence[ReferenceDistances], head: Head) -> ReferenceMatch | None:
    """The match of a recording from the distances of its pieces; None without pieces.

    A machine may change its operating state from piece to piece, so each piece has its own
    nearest states.
    """
    if not pieces:
        return None
    mean = ReferenceDistances(
        float(np.mean([piece.own for piece in pieces])),
        np.mean([piece.to_reference for piece in pieces], axis=0),
        np.mean([piece.between for piece in pieces], axis=0),
        np.mean([piece.limits for piece in pieces], axis=0),
    )
    nearest = int(np.argmin(mean.to_reference))
    machine = int(np.unique(head.reference_machines)[nearest])
    return ReferenceMatch(machine, float(mean.positions[nearest]), float(mean.limits[nearest]))


def _nearest_of_each(machines: npt.NDArray[np.intp], squared: DoubleArray) -> npt.NDArray[np.intp]:
    """The index of the nearest state of each machine, machines in rising order."""
    by_machine = np.lexsort((squared, machines))
    first: npt.NDArray[np.intp] = np.unique(machines[by_machine], return_index=True)[1]
    return by_machine[first]
