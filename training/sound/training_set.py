"""The recordings of a training, checked against each other: copies, repetitions, outliers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.calibration.copies import find_copies
from monitor.calibration.findings import (
    CopiedRecording,
    RepeatedRecording,
    SetFindings,
    outliers_among,
)
from monitor.calibration.fine_structure import repeats_after, thinned
from monitor.calibration.outliers import distances_between, small_groups
from monitor.calibration.threshold import HealthyRecording
from monitor.errors import BadInputError
from monitor.features.log_mel_spec import LogMelSpec
from training.sound.crossfit import HealthySound
from training.sound.recordings import Recording


@dataclass(frozen=True, slots=True)
class DistinctSound:
    """The recordings that are used: each sound once."""

    own: tuple[Recording, ...]
    references: tuple[tuple[Recording, ...], ...]
    findings: SetFindings


def distinct_sound(
    own: Sequence[Recording],
    references: Sequence[Sequence[Recording]],
    reference_names: Sequence[str],
    spec: LogMelSpec,
) -> DistinctSound:
    """Leave out copies, among the machine's own recordings and among those of each reference.

    A recording that repeats itself keeps its first part. Raises ``BadInputError`` for a
    reference machine of which no recording is left.
    """
    repeated: list[RepeatedRecording] = []
    copies: list[CopiedRecording] = []
    known: list[Recording] = []
    machines: list[tuple[Recording, ...]] = []
    for machine in (own, *references):
        once = [_once(recording, spec, repeated) for recording in machine]
        pool = [*known, *once]
        found = find_copies([thinned(one.frames_db) for one in pool], n_originals=len(known))
        copies += [CopiedRecording(pool[c.index].name, pool[c.of].name, c.share) for c in found]
        copied = {copy.index - len(known) for copy in found}
        kept = tuple(recording for i, recording in enumerate(once) if i not in copied)
        if not kept:
            raise BadInputError(
                f"--reference {reference_names[len(machines) - 1]}: contains only sound of the "
                "machine itself or of another reference: give recordings of another machine"
            )
        known += kept
        machines.append(kept)
    n_recordings = len(own) + sum(map(len, references))
    findings = SetFindings(n_recordings, tuple(copies), tuple(repeated))
    return DistinctSound(machines[0], tuple(machines[1:]), findings)


def _once(recording: Recording, spec: LogMelSpec, repeated: list[RepeatedRecording]) -> Recording:
    """The recording up to where it repeats itself, which is added to ``repeated``."""
    period = repeats_after(thinned(recording.frames_db))
    if period is None or period < spec.window_frames:
        return recording
    repeated.append(RepeatedRecording(recording.name, period / spec.frame_rate_hz))
    return replace(recording, frames_db=recording.frames_db[:period])


def with_outliers(
    findings: SetFindings,
    files: Sequence[Recording],
    recordings: Sequence[Recording],
    sound: HealthySound,
    healthy: Sequence[HealthyRecording],
    *,
    keep: bool,
    confirmed: Collection[str] = (),
) -> SetFindings:
    """The findings, with the files that do not fit the others and are not ``confirmed``.

    ``recordings``: the files or sections of them, with their evidence in ``sound`` and their
    scores ``healthy``, by statistics that did not use the file.
    """
    sections = [[i for i, r in enumerate(recordings) if r.file == f.file] for f in files]
    scores = [float(np.sqrt(np.mean([healthy[i].whole ** 2 for i in own]))) for own in sections]
    positions = [
        np.concatenate([sound.recordings[i].rows for i in own]).mean(axis=0) for own in sections
    ]
    distances = distances_between(positions)
    names = [file.name for file in files]
    groups = tuple(tuple(names[i] for i in group) for group in small_groups(distances))
    outliers = tuple(
        one for one in outliers_among(names, scores, distances) if one.name not in confirmed
    )
    return findings.with_outliers(outliers, groups, kept=keep)
