"""The weight of the local distance, from healthy recordings scored without themselves.

The weight makes the local distance and the distance equally rare: the largest values that would
raise an alert are the same for both. So a change of a few neighbouring bands and a small change
of all bands both have a chance to raise an alert, and the threshold is still one number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from monitor.detection.persistence import Persistence
from monitor.detection.persistent_scores import persistent_scores
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.head import Head, distances_of
from monitor.model.recording_score import RecordingScore
from training.sound.crossfit import FoldHead, HealthySound, head_for

LEAST_LOCAL = 1e-6
LEAST_RECORDINGS = 8
"""The largest local distance of fewer recordings is too often exceeded by another healthy one."""
NEVER = 1e9
_MARGIN = 6.0
"""Over the largest healthy value, divided by the number of recordings: 30 % for twenty. A new
healthy recording exceeds the largest of few more often."""


def with_local_distance(
    heads: Sequence[FoldHead],
    sound: HealthySound,
    spec: LogMelSpec,
    span_windows: int,
    rule: Persistence,
) -> list[FoldHead]:
    """The heads of the folds with the weight and the limit of the local distance.

    Heads without distances are returned unchanged.
    """
    if not heads[0].head.is_distance:
        return list(heads)
    largest, largest_local = LEAST_LOCAL, LEAST_LOCAL
    wholes = []
    for index, recording in enumerate(sound.recordings):
        head = head_for(heads, index)
        distance, local = distances_of(recording.spans(span_windows), head)
        largest = max(largest, float(persistent_scores(distance, rule).max()))
        largest_local = max(largest_local, float(persistent_scores(local, rule).max()))
        whole = RecordingScore(spec, head)
        whole.extend(recording.evidence, recording.loss)
        wholes.append(whole.distances)
    weight = largest / largest_local
    limit = max(max(distance, weight * local) for distance, local in wholes)
    limit *= 1.0 + _MARGIN / len(wholes)
    if len(wholes) < LEAST_RECORDINGS:
        limit = NEVER

    def weighted(head: Head) -> Head:
        return replace(head, local_weight=weight, local_limit=limit)

    return [FoldHead(fold.inside, weighted(fold.head)) for fold in heads]
