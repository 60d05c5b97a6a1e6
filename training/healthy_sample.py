"""How a machine's healthy recordings lie around their nearest centres, on average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from monitor.distance import Head, offset
from monitor.mean_shift import Sample, sample_of
from training.crossfit import HealthySound

LEAST_FILES = 4


def healthy_sample(sound: HealthySound, file: Sequence[int], head: Head) -> Sample | None:
    """The mean offsets of the files that were read; None for fewer than ``LEAST_FILES``.

    ``file``: of which one each recording is, or a stretch: stretches of one file share what
    files differ in. The variance that the centres took away is made up for, and a centre is
    only as good as the files it was taken from: ``n`` is that of the rarest regime.
    """
    files, n_regimes = np.unique(file), sound.n_regimes
    fewest = min(len(_files_of(sound, file, regime)) for regime in range(n_regimes))
    if len(files) < LEAST_FILES or len(files) <= n_regimes or fewest < 2:
        return None
    offsets = [_mean_offset(sound, np.equal(file, one), head) for one in files]
    sample = sample_of(np.stack(offsets))
    lost = (len(files) - 1) / (len(files) - n_regimes)
    return replace(sample, variance=sample.variance * lost, n=fewest)


def _files_of(sound: HealthySound, file: Sequence[int], regime: int) -> set[int]:
    return {one for one, labels in zip(file, sound.regime, strict=True) if (labels == regime).any()}


def _mean_offset(
    sound: HealthySound, inside: npt.NDArray[np.bool_], head: Head
) -> npt.NDArray[np.float64]:
    rows = [row for i in np.flatnonzero(inside) for row in sound.recordings[i].rows]
    mean: npt.NDArray[np.float64] = np.mean([offset(row, head) for row in rows], axis=0)
    return mean
