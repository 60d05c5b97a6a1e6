"""Operating states by their lines: a machine at another speed has its lines at other places.

Segments are alike as far as the same lines stand out of them. Healthy segments that fall into two
groups, alike within and unlike between them, are of two states, and so on for each group. The
sound of an alert is compared with healthy sound of the state in which it mostly is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.diagnosis.segments import SegmentPlan, background_of, widest
from monitor.domain import FloatArray

IntArray = npt.NDArray[np.intp]
_HIGHEST_HZ = 2_000.0
_LEAST_DB, _MOST_DB = 9.0, 12.0
"""What counts of a bin: from where noise seldom reaches, and at most so much."""
_MOST_STATES = 6
_LEAST_INSIDE = 0.25
_APART = 0.2
_ROUNDS = 8
LEAST_MEMBERS = 6


def signatures_of(density_db: FloatArray, plan: SegmentPlan) -> FloatArray:
    """The lines of each segment. Shape: ``(n_segments, n_bins)`` to ``(n_segments, n_used)``.

    Their scalar products are from 0 (no line in common) to 1.
    """
    used = density_db[:, : round(_HIGHEST_HZ / plan.bin_hz) + 1]
    above_db = used - background_of(used, plan.bin_hz) - np.float32(_LEAST_DB)
    lines = np.clip(above_db, 0.0, _MOST_DB).astype(np.float32)
    lines[:, : round(4.0 / plan.bin_hz)] = 0.0
    lines = widest(lines, np.ones(lines.shape[-1], dtype=np.intp))
    norms = np.sqrt(np.einsum("ij,ij->i", lines, lines))
    scaled: FloatArray = lines / np.maximum(norms, np.float32(1e-6))[:, np.newaxis]
    return scaled


@dataclass(frozen=True)
class States:
    """The states that healthy segments show, as their mean signatures. Shape: ``(n_states, n)``."""

    centres: FloatArray

    @classmethod
    def among(cls, signatures: FloatArray) -> States:
        """Find the states. Shape: ``(n_segments, n)``. If all or none are alike, there is one."""
        groups = [np.arange(len(signatures), dtype=np.intp)]
        finished: list[IntArray] = []
        while groups and len(groups) + len(finished) < _MOST_STATES:
            group = groups.pop()
            halves = _halved(signatures[group])
            if halves is None:
                finished.append(group)
            else:
                groups += [group[halves == 0], group[halves == 1]]
        finished += groups
        return cls(np.stack([signatures[group].mean(axis=0) for group in finished]))

    @property
    def count(self) -> int:
        """How many."""
        return len(self.centres)

    def of(self, signatures: FloatArray) -> IntArray:
        """The state of each segment. Shape: ``(n_segments, n)`` to ``(n_segments,)``."""
        norms = np.maximum(np.linalg.norm(self.centres, axis=1), 1e-6)
        return np.asarray((signatures @ self.centres.T / norms).argmax(axis=1), dtype=np.intp)


def _halved(signatures: FloatArray) -> IntArray | None:
    """Which of two groups each segment is in; None if they are not two groups."""
    if len(signatures) < 2 * LEAST_MEMBERS:
        return None
    alike = signatures @ signatures.T
    first = int(alike.sum(axis=1).argmax())
    second = int(alike[first].argmin())
    labels = (alike[second] > alike[first]).astype(np.intp)
    for _ in range(_ROUNDS):
        if min(np.count_nonzero(labels), np.count_nonzero(labels == 0)) < LEAST_MEMBERS:
            return None
        to_each = np.stack([alike[:, labels == group].mean(axis=1) for group in (0, 1)])
        moved = to_each.argmax(axis=0).astype(np.intp)
        if (moved == labels).all():
            break
        labels = moved
    members = [labels == group for group in (0, 1)]
    if min(int(one.sum()) for one in members) < LEAST_MEMBERS:
        return None
    inside = [_mean_of_others(alike[np.ix_(one, one)]) for one in members]
    between = float(alike[np.ix_(members[0], members[1])].mean())
    is_apart = min(inside) >= _LEAST_INSIDE and min(inside) - between >= _APART
    return labels if is_apart else None


def _mean_of_others(alike: FloatArray) -> float:
    n = len(alike)
    return float((alike.sum() - np.trace(alike)) / (n * (n - 1)))
