"""How far towards its reference machines a machine's own healthy sound may lie.

Taken from recordings that the machine's centre was made without. Machines that cannot be told
apart give limits that lie far out: then nothing is ever said to be the reference machine's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from monitor.likeness import take_bearings
from training.crossfit import FoldHead, HealthySound, head_for

LEAST_RECORDINGS = 3
MOST_OF_THE_WAY = 2.0 / 3.0
_DEVIATIONS = 1.5


def reference_limits(sound: HealthySound, heads: Sequence[FoldHead]) -> npt.NDArray[np.float64]:
    """Two thirds of the way, or beyond the machine's own left-out sound if that lies further.

    ``heads``: one for each fold of recordings. Shape: ``(n_references,)``; infinite where there
    are fewer than ``LEAST_RECORDINGS`` to learn it from.
    """
    bearings = [
        take_bearings(row, head_for(heads, index))
        for index, heard in enumerate(sound.recordings)
        for row in heard.rows
    ]
    ways = np.array([one.ways for one in bearings if one is not None])
    if len(sound.recordings) < LEAST_RECORDINGS or not len(ways):
        return np.full(len(sound.references), np.inf)
    limits: npt.NDArray[np.float64] = ways.mean(axis=0) + _DEVIATIONS * ways.std(axis=0, ddof=1)
    return np.maximum(limits, MOST_OF_THE_WAY)
