"""The final head: reference machines with their limits, and a sample of the healthy recordings.

A limit is the position, from the machine (0) to a reference machine (1), beyond which sound is
attributed to the reference machine. Limits are estimated from recordings that were left out of the
machine's centre. If the machines sound similar, the limits are high, and almost no sound is
attributed to the reference machine.
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
from training.sound.recording_evidence import RecordingEvidence, all_rows
from training.sound.regimes import find_regimes, regime_centres

LEAST_FILES = 4


def healthy_sample(
    sound: HealthySound, file: Sequence[int], head: Head, spec: LogMelSpec
) -> Sample | None:
    """The mean offsets of the files from their centres; None for fewer than ``LEAST_FILES``.

    ``file``: the number of the file of each recording, which its sections have in common: they
    are averaged first, because differences between files do not show within one. The variance
    is corrected for the estimated centres. ``n`` is the number of files of the rarest regime,
    because a centre is as uncertain as the files it was estimated from.
    """
    files, n_regimes = np.unique(file), sound.n_regimes
    fewest = min(len(_files_of(sound, file, regime)) for regime in range(n_regimes))
    if len(files) < LEAST_FILES or len(files) <= n_regimes or fewest < 2:
        return None
    offsets = np.stack([_mean_offset(recording, head, spec) for recording in sound.recordings])
    sample = sample_of(np.stack([offsets[np.equal(file, one)].mean(axis=0) for one in files]))
    lost = (len(files) - 1) / (len(files) - n_regimes)
    return replace(sample, variance=sample.variance * lost, n=fewest)


def _files_of(sound: HealthySound, file: Sequence[int], regime: int) -> set[int]:
    return {one for one, labels in zip(file, sound.regime, strict=True) if (labels == regime).any()}


def _mean_offset(
    recording: RecordingEvidence, head: Head, spec: LogMelSpec
) -> npt.NDArray[np.float64]:
    """The mean offset that the run time computes. Shape: ``(d,)``."""
    whole = RecordingScore(spec, head)
    whole.extend(recording.evidence, recording.loss)
    if whole.mean_offset is None:
        raise ValueError(f"{recording.name}: has no windows")
    return whole.mean_offset


LEAST_FILES_FOR_LIMITS = 3
MOST_OF_THE_WAY = 2.0 / 3.0
_DEVIATIONS = 1.5


def with_references(
    head: Head, sound: HealthySound, file: Sequence[int], heads: Sequence[FoldHead], seed: int
) -> Head:
    """The head with the regimes of every reference machine.

    ``file``: the number of the file of each of the machine's recordings. ``heads``: one for each
    fold of recordings, and no file in two folds. The head is returned unchanged if there are
    fewer than ``LEAST_FILES_FOR_LIMITS`` files to estimate the limits from.
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


def _regimes_of(recordings: Sequence[RecordingEvidence], seed: int) -> npt.NDArray[np.float64]:
    labels = np.concatenate(find_regimes([recording.rows for recording in recordings], seed))
    return regime_centres(all_rows(recordings), labels)


def _limits(known: Head, sound: HealthySound, heads: Sequence[FoldHead]) -> npt.NDArray[np.float64]:
    """Two thirds, or above the positions of the machine's own held-out sound if that is higher.

    Shape: ``(n_machines,)``.
    """
    distances: list[ReferenceDistances | None] = []
    for index, recording in enumerate(sound.recordings):
        fold = head_for(heads, index)
        left_out = replace(known, centres=fold.centres, whitener=fold.whitener)
        distances += [distances_to_references(row, left_out) for row in recording.rows]
    positions = np.array([one.positions for one in distances if one is not None])
    limits: npt.NDArray[np.float64] = positions.mean(axis=0)
    limits += _DEVIATIONS * positions.std(axis=0, ddof=1)
    return np.maximum(limits, MOST_OF_THE_WAY)
