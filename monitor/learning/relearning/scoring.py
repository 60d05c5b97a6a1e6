"""Scores recordings with two bundles, in a process of its own.

A folder has ``scoring.json`` with the job and gets ``scores.json`` with the result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from monitor.detection.settings import DetectorSettings, OperationSettings
from monitor.durable import replace_content
from monitor.errors import BadInputError
from monitor.learning.relearning.alarm_ratio import AlarmRatio, alarm_ratio
from monitor.model.bundle import load_bundle
from monitor.model.network import Network

JOB, RESULT = "scoring.json", "scores.json"
_SECTION = re.compile(r"(\[[^\[\]]*\])+$")
"""What the training appends to the name of a part of a recording."""


@dataclass(frozen=True, slots=True)
class MonitoredBy:
    """By what a machine is monitored; ``configured``: its bundle in the configuration."""

    configured: Path | None = None
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    operation: OperationSettings = field(default_factory=OperationSettings)


@dataclass(frozen=True, slots=True)
class ScoringJob:
    """Two bundles, clips by their evidence ids, and the paths of pieces.

    Where a bundle was trained on a recording, the score is the one that it states, by statistics
    that were made without the recording.
    """

    before: str
    after: str
    clips: dict[str, str]
    pieces: list[str]
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    operation: OperationSettings = field(default_factory=OperationSettings)


@dataclass(frozen=True, slots=True)
class Ratios:
    """The alarm ratios of a recording, see ``AlarmRatio``; None if it has no score.

    ``name``: of the file of a piece.
    """

    before: float | None
    after: float | None
    seconds: float
    reason: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class BundleFigures:
    """What a bundle states about itself.

    ``threshold``: in its own units. ``per_week``: the budget. ``recall``: the share of injected
    faults that raise an alert, None if it is not known.
    """

    sha256: str
    threshold: float
    per_week: float
    provisional: bool
    recall: float | None


@dataclass(frozen=True, slots=True)
class Scores:
    """The result of a job: ``clips`` by their evidence ids, ``pieces`` in the order of the job.

    ``trained``: the clips of which the new bundle was trained on a part; None if it is not known.
    """

    before: BundleFigures
    after: BundleFigures
    clips: dict[str, Ratios]
    pieces: list[Ratios]
    trained: list[str] | None = None


@cache
def _job() -> TypeAdapter[ScoringJob]:
    return TypeAdapter(ScoringJob)


@cache
def _result() -> TypeAdapter[Scores]:
    return TypeAdapter(Scores)


def write_job(folder: Path, job: ScoringJob) -> None:
    """Put a job into a folder. Raises ``OSError``."""
    replace_content(folder / JOB, _job().dump_json(job))


def read_result(folder: Path) -> Scores | None:
    """The result in a folder; None if there is none. Raises ``OSError``."""
    try:
        return _result().validate_json((folder / RESULT).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def run_job(folder: Path) -> None:
    """Do the job in a folder. Raises ``AuscultError`` and ``OSError``."""
    try:
        job = _job().validate_json((folder / JOB).read_bytes())
    except ValidationError as error:
        raise BadInputError(f"{folder / JOB}: is not a job of this version") from error
    replace_content(folder / RESULT, _result().dump_json(scores_of(job)))


def scores_of(job: ScoringJob) -> Scores:
    """Score every recording. Raises ``BundleError``."""
    before, after = _Judge(job.before, job), _Judge(job.after, job)
    clips = {
        name: _both(before.clip(name, Path(path)), after.clip(name, Path(path)))
        for name, path in job.clips.items()
    }
    pieces = [
        replace(_both(before.piece(path), after.piece(path)), name=path.name)
        for path in map(Path, job.pieces)
    ]
    trained = [name for name in job.clips if after.was_trained_on(name)]
    return Scores(before.figures, after.figures, clips, pieces, trained)


def _both(before: AlarmRatio, after: AlarmRatio) -> Ratios:
    seconds = max(before.seconds, after.seconds)
    return Ratios(before.ratio, after.ratio, seconds, before.reason or after.reason)


class _Judge:
    """One bundle."""

    def __init__(self, path: str, job: ScoringJob) -> None:
        self._bundle = load_bundle(Path(path))
        self._network = Network(self._bundle)
        self._job = job
        calibration = self._bundle.calibration
        per_week = job.detector.alarm_per_week or calibration.false_alarms_per_week
        provenance = self._bundle.manifest.provenance
        recall = provenance.get("budget_recall")
        share = recall.get(f"{per_week:g}") if isinstance(recall, dict) else None
        self.figures = BundleFigures(
            self._bundle.sha256,
            calibration.threshold_for(per_week) or calibration.threshold,
            per_week,
            calibration.provisional,
            float(share) if isinstance(share, float | int) else None,
        )
        is_its_budget = per_week == calibration.false_alarms_per_week
        recordings = provenance.get("recordings")
        self._held_out = _held_out(recordings) if is_its_budget else {}
        self._trained = _names(recordings)

    def was_trained_on(self, evidence_id: str) -> bool:
        """Whether a part of a clip is in the training: not if all were left out as copies."""
        return any(key.startswith(f"{evidence_id}/") for key in self._trained)

    def clip(self, evidence_id: str, path: Path) -> AlarmRatio:
        """A clip: at least as high as the parts of it that the bundle was trained on."""
        found = self._scored(path)
        parts = [
            one.ratio for key, one in self._held_out.items() if key.startswith(f"{evidence_id}/")
        ]
        known = [ratio for ratio in parts if ratio is not None]
        if found.ratio is None or not known:
            return found
        return AlarmRatio(max(found.ratio, *known), found.seconds)

    def piece(self, path: Path) -> AlarmRatio:
        """A piece: as the bundle states it, or scored if it was not trained on it."""
        return self._held_out.get(_key(path)) or self._scored(path)

    def _scored(self, path: Path) -> AlarmRatio:
        job = self._job
        return alarm_ratio(path, self._bundle, self._network, job.detector, job.operation)


def _held_out(recordings: object) -> dict[str, AlarmRatio]:
    """The ratios that a bundle states. Provenance is for people: other forms are passed over."""
    found: dict[str, AlarmRatio] = {}
    for one in recordings if isinstance(recordings, list) else ():
        if not isinstance(one, dict):
            continue
        ratio, seconds = one.get("held_out_ratio"), one.get("seconds")
        if not isinstance(ratio, float | int) or not isinstance(seconds, float | int):
            continue
        key = _key(Path(_SECTION.sub("", str(one.get("name")))))
        earlier = found.get(key, AlarmRatio(0.0, 0.0))
        highest = max(float(ratio), earlier.ratio or 0.0)
        found[key] = AlarmRatio(highest, earlier.seconds + float(seconds))
    return found


def _names(recordings: object) -> set[str]:
    """The recordings that a bundle states."""
    found = (
        [one.get("name") for one in recordings if isinstance(one, dict)]
        if isinstance(recordings, list)
        else []
    )
    return {_key(Path(_SECTION.sub("", str(name)))) for name in found}


def _key(path: Path) -> str:
    """A recording by the names of its folder and file, so that folders may be copied."""
    return "/".join(path.parts[-2:])
