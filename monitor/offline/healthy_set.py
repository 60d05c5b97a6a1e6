"""The recordings that a threshold is set from: scored, without copies and outliers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from monitor.audio.recording_frames import RecordingFrames, frames_of
from monitor.audio.recordings import read_each, recording_blocks
from monitor.calibration.channels import ChannelKey
from monitor.calibration.copies import find_copies
from monitor.calibration.findings import CopiedRecording, Outlier, SetFindings, outliers_among
from monitor.calibration.fine_structure import thinned
from monitor.calibration.outliers import distances_between, small_groups
from monitor.calibration.threshold import HealthyRecording
from monitor.detection.settings import DetectorSettings, OperationSettings
from monitor.domain import DoubleArray, FloatArray, Score, block_times_s
from monitor.errors import BadInputError
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.spectra import SPECTRA
from monitor.model.bundle import Bundle
from monitor.model.channel_calibration import ChannelBudget, ChannelCalibration, EvidenceKind
from monitor.model.channel_scores import every_channel, is_long
from monitor.model.network import Network
from monitor.model.recording_score import RecordingScore
from monitor.offline.replay import nothing_to_score
from monitor.pipeline import Pipeline
from monitor.text.escaping import one_line

_NEVER = 1e30
_PARTS = re.compile(r"(\[[^\[\]]*\])+$")
"""What the training appends to the name of a part: ``a.wav[3.6 s][1/2]``."""
_SAME_LENGTH_S = 1.0
"""Lengths may differ by this: the last scored window ends before the end of a recording."""


@dataclass(frozen=True, slots=True)
class HealthySet:
    """The recordings that are used, their scores, and what was found wrong with the set.

    ``stopped``: the recordings in which the machine does not run, which are not used.
    """

    names: tuple[str, ...]
    healthy: tuple[HealthyRecording, ...]
    findings: SetFindings
    stopped: tuple[str, ...] = ()


class MachineStoppedError(BadInputError):
    """The machine does not run in a recording."""


def read_healthy_set(
    recordings: Sequence[Path],
    bundle: Bundle,
    network: Network,
    operation: OperationSettings | None = None,
    *,
    keep_outliers: bool = False,
    detector: DetectorSettings | None = None,
) -> HealthySet:
    """Score every recording, and leave out copies and, unless they are kept, outliers.

    Recordings in which the machine does not run are left out too. Raises one ``BadInputError``
    with a line for each recording that cannot be used, or if the machine runs in none.
    """
    stopped: list[str] = []

    def read(path: Path) -> tuple[str, HealthyRecording, FloatArray] | None:
        try:
            healthy = score_healthy(path, bundle, network, operation, detector)
        except MachineStoppedError:
            stopped.append(str(path))
            return None
        return str(path), healthy, _thin_frames(path, bundle.spec)

    used = [one for one in read_each(recordings, read) if one is not None]
    if not used:
        raise MachineStoppedError(
            f"{one_line(stopped[0])}{' and the others' if len(stopped) > 1 else ''}: the machine "
            "does not run here. Give recordings in which it runs"
        )
    names = [name for name, _, _ in used]
    pairs = [(healthy, frames_db) for _, healthy, frames_db in used]
    copies = find_copies([frames_db for _, frames_db in pairs])
    findings = SetFindings(
        len(names),
        tuple(CopiedRecording(names[c.index], names[c.of], c.share) for c in copies),
        trained_on=_trained_on(used, bundle),
    )
    copied = {copy.index for copy in copies}
    kept = [(names[i], pairs[i][0]) for i in range(len(names)) if i not in copied]
    outliers, groups = _unlike_the_others(kept)
    findings = findings.with_outliers(outliers, groups, kept=keep_outliers)
    unused = set() if keep_outliers else {outlier.name for outlier in outliers}
    left = [(name, healthy) for name, healthy in kept if name not in unused]
    return HealthySet(
        tuple(name for name, _ in left), tuple(one for _, one in left), findings, tuple(stopped)
    )


def _trained_on(
    used: Sequence[tuple[str, HealthyRecording, FloatArray]], bundle: Bundle
) -> tuple[str, ...]:
    """The recordings with the file name and nearly the length of one of the training.

    Of a recording that the training divided or shortened, all parts together are at least half as
    long. Otherwise the lengths differ by at most a second.
    """
    recordings = bundle.manifest.provenance.get("recordings")
    known: dict[str, float] = {}
    in_parts = set()
    for one in recordings if isinstance(recordings, list) else ():
        if not isinstance(one, dict) or not isinstance(one.get("seconds"), float | int):
            continue
        name = str(one.get("name"))
        whole = _PARTS.sub("", name)
        known[whole] = known.get(whole, 0.0) + one["seconds"]
        if whole != name:
            in_parts.add(whole)
    lengths: dict[str, list[tuple[float, float]]] = {}
    for whole, known_s in known.items():
        most_s = 2.0 * known_s if whole in in_parts else known_s + _SAME_LENGTH_S
        lengths.setdefault(Path(whole).name, []).append((known_s - _SAME_LENGTH_S, most_s))
    return tuple(
        name
        for name, healthy, _ in used
        if any(least <= healthy.seconds <= most for least, most in lengths.get(Path(name).name, ()))
    )


def _unlike_the_others(
    recordings: Sequence[tuple[str, HealthyRecording]],
) -> tuple[tuple[Outlier, ...], tuple[tuple[str, ...], ...]]:
    names = [name for name, _ in recordings]
    scores = [healthy.whole for _, healthy in recordings]
    offsets = [h.mean_offset for _, h in recordings if h.mean_offset is not None]
    if len(offsets) < len(names):
        return outliers_among(names, scores), ()
    distances = distances_between(offsets)
    groups = tuple(tuple(names[i] for i in group) for group in small_groups(distances))
    return outliers_among(names, scores, distances), groups


def score_healthy(
    recording: Path,
    bundle: Bundle,
    network: Network,
    operation: OperationSettings | None = None,
    detector: DetectorSettings | None = None,
) -> HealthyRecording:
    """The scores of one recording, as the daemon would give them, of every possible channel.

    Raises ``BadInputError`` where it cannot be read, has nothing to score, or was captured in a
    way that the bundle cannot judge, and ``MachineStoppedError`` where the machine does not run.
    """
    detector = detector or DetectorSettings()
    bundle = with_every_channel(bundle, detector.min_fault_s)
    whole = bundle.recording_score()
    pipeline = Pipeline(bundle, detector, network, whole, operation)
    scores, of_channels = list[Score](), list[Score]()
    seconds, unjudged = 0.0, None
    for block in recording_blocks(recording, bundle.spec):
        _, seconds = block_times_s(block, bundle.spec.frame_rate_hz)
        output = pipeline.push(block)
        scores += output.scores
        of_channels += output.channel_scores
        unjudged = unjudged or pipeline.capture_fault
    scores += pipeline.finish().scores
    if unjudged is not None:
        raise BadInputError(f"{recording}: {unjudged.reason}: {unjudged.detail}")
    if not scores and pipeline.is_stopped:
        raise MachineStoppedError(f"{recording}: the machine does not run here")
    if not scores:
        raise BadInputError(nothing_to_score(recording, pipeline, seconds))
    return HealthyRecording(
        np.array([score.value for score in scores]),
        np.array([score.level_db for score in scores]),
        scores[-1].end_sample / bundle.spec.sample_rate_hz,
        whole.value,
        whole.stretches,
        whole.reference_match,
        whole.mean_offset,
        _by_channel(bundle, of_channels, whole),
    )


def with_every_channel(bundle: Bundle, min_fault_s: float) -> Bundle:
    """The bundle with all channels that it can have, which raise no alert."""
    calibration = bundle.manifest.calibration
    if calibration is None:
        return bundle
    never = (ChannelBudget(false_alarms_per_week=1.0, threshold=_NEVER),)
    channels = tuple(
        ChannelCalibration(
            evidence=kind, span_s=span_s, step_s=step_s, score_median=0.0, budgets=never
        )
        for kind, span_s, step_s in every_channel(bundle, min_fault_s)
    )
    known = calibration.model_copy(update={"channels": channels})
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"calibration": known}))


def _by_channel(
    bundle: Bundle, scores: Sequence[Score], whole: RecordingScore
) -> dict[ChannelKey, DoubleArray]:
    """The scores of each channel of the bundle.

    A recording that is shorter than a long span has the score of all its sound there, which is
    above that of a span.
    """
    calibration = bundle.manifest.calibration
    found = {}
    for number, channel in enumerate(calibration.channels if calibration else (), start=1):
        values = [score.value for score in scores if score.channel == number]
        if not values and is_long(channel, bundle):
            values = _of_whole(channel.evidence, bundle, whole)
        key = ChannelKey(channel.evidence, channel.span_s, channel.step_s)
        found[key] = np.array(values)
    return found


def _of_whole(evidence: EvidenceKind, bundle: Bundle, whole: RecordingScore) -> list[float]:
    if evidence == "distance":
        distance, local = whole.distances
        return [max(distance, bundle.head.local_weight * local)]
    return [whole.peaks[SPECTRA.index(evidence)]] if whole.peaks else []


def _thin_frames(path: Path, spec: LogMelSpec) -> FloatArray:
    """All frames, thinned for the search for copies, in constant memory for each second."""
    parts = [part for part in frames_of(path, spec) if isinstance(part, RecordingFrames)]
    return np.concatenate([thinned(part.frames_db) for part in parts])
