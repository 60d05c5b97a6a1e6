"""What a bundle keeps of its reference machines, and how far towards them its own may lie.

The limits come from recordings that the machine's centre was made without. Machines that cannot
be told apart give limits that lie far out: then next to nothing is said to be the reference
machine's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from monitor.distance import Head
from monitor.likeness import take_bearings
from training.crossfit import FoldHead, HealthySound, head_for
from training.heard import Heard, all_rows
from training.regimes import find_regimes, regime_centres

LEAST_FILES = 3
MOST_OF_THE_WAY = 2.0 / 3.0
_DEVIATIONS = 1.5


def with_references(
    head: Head, sound: HealthySound, file: Sequence[int], heads: Sequence[FoldHead], seed: int
) -> Head:
    """The head, knowing the regimes of every reference machine.

    ``file``: of which file each of the machine's recordings is, or a stretch. ``heads``: one for
    each fold of recordings, and no file in two folds. The head stays as it was where there are
    fewer than ``LEAST_FILES`` to learn the limits from.
    """
    if len(set(file)) < LEAST_FILES or not sound.references:
        return head
    centres = [_regimes_of(recordings, seed) for recordings in sound.references]
    machines = np.repeat(np.arange(len(centres)), [len(rows) for rows in centres])
    known = replace(
        head,
        references=np.concatenate(centres),
        reference_machines=machines,
        reference_limits=np.full(len(machines), np.inf),
    )
    return replace(known, reference_limits=_limits(known, sound, heads)[machines])


def _regimes_of(recordings: Sequence[Heard], seed: int) -> npt.NDArray[np.float64]:
    labels = np.concatenate(find_regimes([heard.rows for heard in recordings], seed))
    return regime_centres(all_rows(recordings), labels)


def _limits(known: Head, sound: HealthySound, heads: Sequence[FoldHead]) -> npt.NDArray[np.float64]:
    """Two thirds of the way, or beyond the machine's own left-out sound if that lies further.

    Shape: ``(n_machines,)``.
    """
    bearings = []
    for index, heard in enumerate(sound.recordings):
        fold = head_for(heads, index)
        left_out = replace(known, centres=fold.centres, whitener=fold.whitener)
        bearings += [take_bearings(row, left_out) for row in heard.rows]
    ways = np.array([one.ways for one in bearings if one is not None])
    limits: npt.NDArray[np.float64] = ways.mean(axis=0) + _DEVIATIONS * ways.std(axis=0, ddof=1)
    return np.maximum(limits, MOST_OF_THE_WAY)
