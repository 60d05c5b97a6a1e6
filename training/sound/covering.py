"""Weights of healthy rows by which the distances of the unusual ones become smaller.

A threshold for few false alarms is as high as the distances of the most unusual healthy recordings.
The plain covariance describes the usual ones best. The smallest ellipsoid around all rows describes
the unusual ones best: the weights of the rows in its covariance are found by multiplying each of
them by the squared distance of its row, again and again (Titterington 1978, Applied Statistics 27).
A few steps are enough: with more, single rows decide.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.domain import DoubleArray
from training.sound.covariance import Scatter, scatter_of

STEPS = 3
"""With more, the distances change little."""


def covering_scatter(
    groups: Sequence[DoubleArray],
    added: DoubleArray | None,
    shrinkage: float,
    parts: Sequence[slice] = (),
) -> Scatter:
    """The scatter of groups as from ``scatter_of``, with more weight for rows that are far away.

    ``shrinkage`` and ``parts``: of the distance, see ``Scatter.whitener``.
    """
    rows = np.concatenate(list(groups))
    weights = np.ones(len(rows))
    scatter = scatter_of(groups, added)
    for _ in range(STEPS):
        whitener = scatter.whitener(shrinkage, parts)
        weights *= np.square(rows @ whitener.T).sum(axis=1)
        weights /= max(float(weights.mean()), np.finfo(float).tiny)
        scatter = scatter_of(groups, added, weights)
    return scatter
