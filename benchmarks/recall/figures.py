"""What a machine's thresholds make of the sound that was not learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.recall.replayed import Learned, Replayed
from training.metrics import partial_auc, roc_auc


@dataclass(frozen=True, slots=True)
class Outcome:
    """One sound: the alerts of a replay, and its score as a whole.

    ``alerts``: at one false alarm a week, the first one over ``span_s`` of sound. ``supported``:
    whether there is an alert at the budget that the recordings support by counting.
    ``over_highest``: whether the score is over that of every healthy piece. ``at_week``,
    ``at_nominal``, ``at_clips``: whether the score is over the threshold for recordings at one
    false alarm a week, at ``NOMINAL`` and at ``FALSE_CLIPS`` false alarms a recording.
    """

    machine: str
    seed: int
    role: str
    source: int
    kind: str
    level_db: float
    seconds: float
    score: float
    alerts: int
    span_s: float
    supported: bool
    over_highest: bool
    at_week: bool
    at_nominal: bool
    at_clips: bool


@dataclass(frozen=True, slots=True)
class MachineFigures:
    """The outcomes of one machine with one seed.

    ``over_healthy``: see ``Learned``. ``supported_per_week``: the budget that the recordings
    support.
    """

    machine: str
    seed: int
    score_kind: str
    healthy_s: float
    over_healthy: float
    supported_per_week: float
    outcomes: tuple[Outcome, ...]

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)

    def of(self, role: str, kind: str | None = None, level_db: float = 0.0) -> list[Outcome]:
        """The sounds of a role, with one kind of mixed-in fault or with all (None)."""
        return [
            one
            for one in self.outcomes
            if one.role == role
            and (bool(one.kind) if kind is None else one.kind == kind)
            and (not one.kind or one.level_db == level_db)
        ]


def figures_of(
    machine: str, seed: int, known: Learned, sounds: Sequence[Replayed]
) -> MachineFigures:
    """Compare every sound with the thresholds."""
    calibration = known.bundle.calibration
    highest = max(sound.score for sound in sounds if sound.role == "piece" and not sound.kind)
    outcomes = tuple(
        Outcome(
            machine=machine,
            seed=seed,
            role=sound.role,
            source=sound.source,
            kind=sound.kind,
            level_db=sound.level_db,
            seconds=sound.seconds,
            score=sound.score,
            alerts=sound.alerts,
            span_s=sound.span_s,
            supported=sound.supported > 0,
            over_highest=sound.score > highest,
            at_week=sound.score > calibration.recording_threshold,
            at_nominal=sound.score > known.nominal,
            at_clips=sound.score > known.clips,
        )
        for sound in sounds
    )
    return MachineFigures(
        machine=machine,
        seed=seed,
        score_kind=known.bundle.manifest.score.kind,
        healthy_s=calibration.healthy_s,
        over_healthy=known.over_healthy,
        supported_per_week=calibration.supported_false_alarms_per_week,
        outcomes=outcomes,
    )


def areas(healthy: Sequence[Outcome], faulty: Sequence[Outcome]) -> tuple[float, float]:
    """AUC and partial AUC of the scores of whole sounds."""
    labels = np.repeat([0, 1], [len(healthy), len(faulty)])
    scores = np.array([one.score for one in (*healthy, *faulty)])
    return roc_auc(labels, scores), partial_auc(labels, scores)
