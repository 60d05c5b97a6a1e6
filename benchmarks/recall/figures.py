"""What a machine's thresholds make of the sound that was not learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.recall.heard import Heard
from monitor.calibration.blocks import WEEK_S
from monitor.calibration.threshold import HealthyRecording
from monitor.detection.detector import Detector, persistence_of
from monitor.detection.hysteresis import DetectorRule
from monitor.detection.persistence import persistent_scores
from monitor.detection.settings import DetectorSettings
from monitor.domain import DoubleArray, Score
from monitor.model.bundle import Bundle
from monitor.model.manifest import Calibration
from monitor.offline.recalibrate import calibration_of
from training.metrics import partial_auc, roc_auc

NOMINAL = 0.05
FALSE_CLIPS = 1 / 175


@dataclass(frozen=True, slots=True)
class Outcome:
    """One sound: the alerts of a replay, and its score as a whole.

    ``alerts``: at one false alarm a week. ``supported``: whether there is an alert at the budget
    that the recordings support by counting. ``over_highest``: whether the score is over that of
    every healthy piece. ``at_week``, ``at_nominal``, ``at_clips``: whether the score is over the
    threshold for recordings at one false alarm a week, at ``NOMINAL`` and at ``FALSE_CLIPS``
    false alarms a recording.
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
    supported: bool
    over_highest: bool
    at_week: bool
    at_nominal: bool
    at_clips: bool


@dataclass(frozen=True, slots=True)
class MachineFigures:
    """The outcomes of one machine with one seed.

    ``over_healthy``: the threshold for one false alarm a week over the highest value of the
    healthy recordings that it was made from. ``supported_per_week``: the budget that they support.
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
    machine: str,
    seed: int,
    bundle: Bundle,
    healthy: Sequence[HealthyRecording],
    sounds: Sequence[Heard],
) -> MachineFigures:
    """Calibrate with the healthy scores and judge every sound."""
    weekly = _calibrated(bundle, healthy, 1.0)
    supported = _calibrated(bundle, healthy, weekly.supported_false_alarms_per_week)
    nominal = _per_recording(bundle, healthy, NOMINAL)
    clips = _per_recording(bundle, healthy, FALSE_CLIPS)
    scored = [(sound, sound.scored(bundle)) for sound in sounds]
    highest = max(
        scores.whole for sound, scores in scored if sound.role == "piece" and not sound.kind
    )
    outcomes = tuple(
        Outcome(
            machine=machine,
            seed=seed,
            role=sound.role,
            source=sound.source,
            kind=sound.kind,
            level_db=sound.level_db,
            seconds=sound.seconds,
            score=scores.whole,
            alerts=alerts(scores.scores, bundle, weekly),
            supported=alerts(scores.scores, bundle, supported) > 0,
            over_highest=scores.whole > highest,
            at_week=scores.whole > weekly.recording_threshold,
            at_nominal=scores.whole > nominal,
            at_clips=scores.whole > clips,
        )
        for sound, scores in scored
    )
    rule = persistence_of(bundle, DetectorSettings())
    values = [persistent_scores(one.scores, rule).max() for one in healthy if len(one.scores)]
    return MachineFigures(
        machine=machine,
        seed=seed,
        score_kind=bundle.manifest.score.kind,
        healthy_s=weekly.healthy_s,
        over_healthy=weekly.threshold / max(values),
        supported_per_week=weekly.supported_false_alarms_per_week,
        outcomes=outcomes,
    )


def alerts(scores: DoubleArray, bundle: Bundle, calibration: Calibration) -> int:
    """How many alerts the detector raises for the scores of unbroken sound."""
    spec = bundle.spec
    detector = Detector(
        DetectorRule.of(
            DetectorSettings(),
            calibration,
            calibration.threshold,
            calibration.false_alarms_per_week,
            span_s=bundle.actual_span_s,
            hop_s=spec.window_hop_s,
            sample_rate_hz=spec.sample_rate_hz,
        )
    )
    no_bands = np.zeros(spec.n_mels, np.float32)
    raised = 0
    for number, value in enumerate(scores.tolist()):
        first = number * spec.window_hop_samples
        end = first + round(bundle.actual_span_s * spec.sample_rate_hz)
        decision = detector.push(Score(value, 0.0, first, end, no_bands))
        raised += decision is not None and decision.kind == "raised"
    return raised


def areas(healthy: Sequence[Outcome], faulty: Sequence[Outcome]) -> tuple[float, float]:
    """AUC and partial AUC of the scores of whole sounds."""
    labels = np.repeat([0, 1], [len(healthy), len(faulty)])
    scores = np.array([one.score for one in (*healthy, *faulty)])
    return roc_auc(labels, scores), partial_auc(labels, scores)


def _calibrated(
    bundle: Bundle, healthy: Sequence[HealthyRecording], per_week: float
) -> Calibration:
    rule = persistence_of(bundle, DetectorSettings())
    return calibration_of(bundle, healthy, rule, false_alarms_per_week=per_week)


def _per_recording(bundle: Bundle, healthy: Sequence[HealthyRecording], share: float) -> float:
    """The threshold for recordings at a share of false alarms a recording."""
    seconds = float(np.mean([recording.seconds for recording in healthy]))
    return _calibrated(bundle, healthy, share * WEEK_S / seconds).recording_threshold
