"""Are new values higher than the known ones? The rank test of Mann and Whitney.

Mann and Whitney (1947, Ann. Math. Statist. 18): it asks nothing of how the values are spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def share_higher(new: Sequence[float], own: Sequence[float]) -> tuple[float, float]:
    """How often a new value is above an own one, and the chance of that where they are alike.

    The chance is that of the normal approximation, with its continuity correction. (1/2, 1)
    where there is nothing to compare.
    """
    if not new or not own:
        return 0.5, 1.0
    n_pairs = len(new) * len(own)
    pairs = np.subtract.outer(np.asarray(new), np.asarray(own))
    wins = float((pairs > 0).sum() + 0.5 * (pairs == 0).sum())
    deviation = math.sqrt(n_pairs * (len(new) + len(own) + 1) / 12.0)
    beyond = (wins - 0.5 * n_pairs - 0.5) / deviation
    return wins / n_pairs, 0.5 * math.erfc(beyond / math.sqrt(2.0))
