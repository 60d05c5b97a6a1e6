"""How well a bundle separates normal recordings from anomalous ones, in figures with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from monitor.calibration.blocks import WEEK_S
from monitor.detection.detector import persistence_of
from monitor.detection.settings import DetectorSettings, OperationSettings
from monitor.domain import AudioBlock, DoubleArray
from monitor.errors import BadInputError
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.offline.ahead import ahead_for
from monitor.offline.budget_watch import BudgetWatch, budgets_of
from monitor.offline.replay import RecordingSummary, ReplaySinks, replay_recording
from monitor.offline.roc import Interval, bootstrap_interval, partial_auc, roc_auc

PAUC_MAX_FPR = 0.1
Label = Literal["normal", "anomalous"]


@dataclass(frozen=True, slots=True)
class EvaluatedRecording:
    """A recording, its label, and how many alerts it raised for each of the budgets."""

    label: Label
    summary: RecordingSummary
    alerts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and its interval of 95 %; None if there are too few recordings for one."""

    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One budget.

    ``recall``: the share of anomalous recordings that raise an alert. ``false_alarms``: the alerts
    of all normal recordings together. ``measured_per_week``: the same a week, by their length.
    """

    false_alarms_per_week: float
    recall: float
    false_alarms: int
    measured_per_week: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of a bundle.

    ``recordings``: each with its ``label``, its ``summary`` (``file``, ``seconds``, ``score``,
    ``threshold``, ``error``) and its ``alerts`` for each budget of the curve. ``auc``, ``pauc``: of
    the scores of whole recordings; the partial area is up to a false-positive rate of 0.1,
    standardised. ``recall``: the share of anomalous recordings that raise an alert at the bundle's
    ``budget``; ``false_alarms``: the alerts of the normal ones, together and a week.
    ``recall_by_score`` and ``false_by_score``: the shares of recordings whose score is over the
    threshold for recordings. ``too_short``: anomalous recordings that are shorter than an alert
    needs. ``curve``: by rising budget.
    """

    budget: float
    recordings: tuple[EvaluatedRecording, ...]
    normal_s: float
    auc: Figure
    pauc: Figure
    recall: Figure
    false_alarms: int
    false_alarms_per_week: Figure
    recall_by_score: Figure
    false_by_score: Figure
    too_short: int
    curve: tuple[CurvePoint, ...]

    def n_scored(self, label: Label) -> int:
        """How many recordings of this label have a score."""
        return sum(one.label == label and one.summary.is_scored for one in self.recordings)

    @property
    def refused(self) -> tuple[RecordingSummary, ...]:
        """The recordings that could not be read."""
        return tuple(one.summary for one in self.recordings if one.summary.error)


def score_labelled(
    bundle: Bundle,
    normal: Sequence[Path],
    anomalous: Sequence[Path],
    *,
    jobs: int = 1,
    progress: Callable[[int, Path], None] = lambda *_: None,
    arrays: Mapping[Path, Sequence[AudioBlock]] | None = None,
) -> list[EvaluatedRecording]:
    """Replay all recordings, each as a stream of its own, as ``auscult replay`` does.

    A recording that cannot be read gives a summary with an error. ``jobs``: processes that share
    the work; the results are the same. ``arrays``: the sound of recordings that are no files, by
    the names that stand in place of their paths.
    """
    arrays = arrays or {}
    network = Network(bundle)
    detector = DetectorSettings()
    labelled: list[tuple[Label, Path]] = [("normal", path) for path in normal]
    labelled += [("anomalous", path) for path in anomalous]
    budgets = budgets_of(bundle.calibration)
    sinks = ReplaySinks(lambda *_: None, lambda *_: None)
    results = []
    with ahead_for(bundle, network, [path for _, path in labelled], jobs) as ahead:
        for number, (label, path) in enumerate(labelled, 1):
            progress(number, path)
            watch = BudgetWatch(bundle, detector, OperationSettings(), budgets)
            summary = replay_recording(
                path,
                bundle,
                network,
                detector,
                sinks,
                machine="evaluated",
                start_unix_s=0.0,
                ahead=ahead,
                watch=watch,
                blocks=arrays.get(path),
            )
            alerts = tuple(watch.n_raised[budget] for budget in budgets)
            results.append(EvaluatedRecording(label, summary, alerts))
    return results


def evaluation_of(
    bundle: Bundle,
    recordings: Sequence[EvaluatedRecording],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Evaluation:
    """The figures of recordings from :func:`score_labelled`.

    Recordings without a score, because they cannot be read or the machine is off, do not count.
    Raises ``BadInputError`` if none with a score is left of one of the labels.
    """
    scored = [one for one in recordings if one.summary.is_scored]
    normal, anomalous = (
        [one for one in scored if one.label == label] for label in ("normal", "anomalous")
    )
    for label, kept in (("normal", normal), ("anomalous", anomalous)):
        if not kept:
            reasons = [one.summary.error for one in recordings if one.summary.error]
            raise BadInputError(
                f"no {label} recording has a score: give recordings in which the machine runs",
                *reasons,
            )
    budgets = budgets_of(bundle.calibration)
    own = budgets.index(bundle.calibration.false_alarms_per_week)
    rule = persistence_of(bundle, DetectorSettings())
    needs_s = rule.needs_s(bundle.actual_span_s, bundle.spec.window_hop_s)

    def figure(groups: Sequence[DoubleArray], statistic: Callable[..., float]) -> Figure:
        interval = bootstrap_interval(groups, statistic, resamples=resamples, seed=seed)
        return Figure(statistic(*groups), interval)

    def share(values: list[bool]) -> Figure:
        return figure([np.array(values, dtype=np.float64)], lambda one: float(one.mean()))

    scores = [np.array([one.summary.score for one in group]) for group in (normal, anomalous)]
    alarms = np.array([(one.alerts[own], one.summary.seconds) for one in normal], dtype=np.float64)
    return Evaluation(
        budget=budgets[own],
        recordings=tuple(recordings),
        normal_s=sum(one.summary.seconds for one in normal),
        auc=figure(scores, lambda a, b: roc_auc(*_labelled(a, b))),
        pauc=figure(scores, lambda a, b: partial_auc(*_labelled(a, b), PAUC_MAX_FPR)),
        recall=share([one.alerts[own] > 0 for one in anomalous]),
        false_alarms=sum(one.alerts[own] for one in normal),
        false_alarms_per_week=figure([alarms], _per_week),
        recall_by_score=share([_is_over(one.summary) for one in anomalous]),
        false_by_score=share([_is_over(one.summary) for one in normal]),
        too_short=sum(one.summary.seconds < needs_s for one in anomalous),
        curve=tuple(
            _point(budget, index, normal, anomalous) for index, budget in enumerate(budgets)
        ),
    )


def _point(
    budget: float,
    index: int,
    normal: Sequence[EvaluatedRecording],
    anomalous: Sequence[EvaluatedRecording],
) -> CurvePoint:
    false_alarms = sum(one.alerts[index] for one in normal)
    seconds = sum(one.summary.seconds for one in normal)
    recall = float(np.mean([one.alerts[index] > 0 for one in anomalous]))
    return CurvePoint(budget, recall, false_alarms, false_alarms / seconds * WEEK_S)


def _labelled(normal: DoubleArray, anomalous: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    labels = np.repeat([0.0, 1.0], [len(normal), len(anomalous)])
    return labels, np.concatenate([normal, anomalous])


def _per_week(alarms: DoubleArray) -> float:
    return float(alarms[:, 0].sum() / alarms[:, 1].sum() * WEEK_S)


def _is_over(summary: RecordingSummary) -> bool:
    return summary.score > summary.threshold
