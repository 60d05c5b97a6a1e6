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

from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.head import Head, Sample, sample_of
from monitor.model.recording_score import RecordingScore
from monitor.model.reference_match import ReferenceDistances, distances_to_references
from training.sound.crossfit import FoldHead, HealthySound, head_for
from training.sound.recording_evidence import Heard, all_rows
from training.sound.regimes import find_regimes, regime_centres

LEAST_FILES = 4


def healthy_sample(
    sound: HealthySound, file: Sequence[int], head: Head, spec: LogMelSpec
) -> Sample | None:
    """The mean offsets of the files that were read; None for fewer than ``LEAST_FILES``.

    ``file``: of which one each recording is, or a stretch: stretches of one file share what
    files differ in. The variance that the centres took away is made up for, and a centre is
    only as good as the files it was taken from: ``n`` is that of the rarest regime.
    """
    files, n_regimes = np.unique(file), sound.n_regimes
    fewest = min(len(_files_of(sound, file, regime)) for regime in range(n_regimes))
    if len(files) < LEAST_FILES or len(files) <= n_regimes or fewest < 2:
        return None
    offsets = np.stack([_mean_offset(heard, head, spec) for heard in sound.recordings])
    sample = sample_of(np.stack([offsets[np.equal(file, one)].mean(axis=0) for one in files]))
    lost = (len(files) - 1) / (len(files) - n_regimes)
    return replace(sample, variance=sample.variance * lost, n=fewest)


def _files_of(sound: HealthySound, file: Sequence[int], regime: int) -> set[int]:
    return {one for one, labels in zip(file, sound.regime, strict=True) if (labels == regime).any()}


def _mean_offset(heard: Heard, head: Head, spec: LogMelSpec) -> npt.NDArray[np.float64]:
    """As the runtime will find it. Shape: ``(d,)``."""
    whole = RecordingScore(spec, head)
    whole.extend(heard.evidence, heard.loss)
    if whole.mean_offset is None:
        raise ValueError(f"{heard.name}: nothing was heard")
    return whole.mean_offset


LEAST_FILES_FOR_LIMITS = 3
MOST_OF_THE_WAY = 2.0 / 3.0
_DEVIATIONS = 1.5


def with_references(
    head: Head, sound: HealthySound, file: Sequence[int], heads: Sequence[FoldHead], seed: int
) -> Head:
    """The head, knowing the regimes of every reference machine.

    ``file``: of which file each of the machine's recordings is, or a stretch. ``heads``: one for
    each fold of recordings, and no file in two folds. The head stays as it was where there are
    fewer than ``LEAST_FILES_FOR_LIMITS`` to learn the limits from.
    """
    if len(set(file)) < LEAST_FILES_FOR_LIMITS or not sound.references:
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
    distances: list[ReferenceDistances | None] = []
    for index, heard in enumerate(sound.recordings):
        fold = head_for(heads, index)
        left_out = replace(known, centres=fold.centres, whitener=fold.whitener)
        distances += [distances_to_references(row, left_out) for row in heard.rows]
    positions = np.array([one.positions for one in distances if one is not None])
    limits: npt.NDArray[np.float64] = positions.mean(axis=0)
    limits += _DEVIATIONS * positions.std(axis=0, ddof=1)
    return np.maximum(limits, MOST_OF_THE_WAY)
