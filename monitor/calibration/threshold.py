"""Healthy scores to a threshold for a budget of false alarms.

The budget is alarms per week, so the threshold is set on the value that raises an alarm: the
persistent score (:mod:`monitor.detection.persistence`), in blocks that are long enough to be
independent of each other. The value of a block is its largest persistent score, and each block
is one chance of a false alarm. With ``L`` seconds per block, a budget of ``F`` per week allows
``p = F L / week`` per block. With enough blocks (``n + 1 >= 1 / p``) the threshold is the
conformal ``1 - p`` quantile of their values. Otherwise it is extrapolated
(:mod:`monitor.calibration.tail`). The threshold for whole recordings that fewer than five of them
may exceed is taken from their tail (:mod:`monitor.calibration.few_exceedances`).

The tail is fitted to squares of distances, because the squared distance of normal evidence is a
weighted sum of chi-squares, whose tail is exponential (Imhof 1961, Biometrika 48). The plain
error is a mean of squares already and is fitted as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Literal

import numpy as np

from monitor.calibration.blocks import WEEK_S, by_file, counted_thresholds, decorrelation, maxima
from monitor.calibration.channels import ChannelKey, ChannelValues, channel_values
from monitor.calibration.few_exceedances import few_exceed
from monitor.calibration.recurring import recurring_channels, recurring_values
from monitor.calibration.tail import rare_thresholds
from monitor.detection.persistence import Persistence
from monitor.detection.persistent_scores import persistent_scores
from monitor.domain import DoubleArray
from monitor.errors import BadInputError
from monitor.model.manifest import MOST_SCORES, BudgetThreshold, Calibration
from monitor.model.reference_match import ReferenceMatch
from monitor.text.wording import counted, duration

_LEAST_BLOCKS = 4
BUDGETS = (0.1, 0.3, 1.0, 3.0, 7.0, 20.0, 50.0, 168.0, 500.0, 1_000.0, 3_000.0, 10_000.0)
"""False alarms a week for which a bundle contains a threshold."""


@dataclass(frozen=True, slots=True)
class HealthyRecording:
    """The scores of one healthy recording, from statistics that did not include it.

    ``scores``: shape ``(n_scores,)``, one every ``hop_s`` of the scorer. ``levels_db``: the same
    shape, the level of each score. ``whole``: the score of the recording as a whole.
    ``stretches``: the scores of its blocks of ten seconds. ``reference_match``: None without
    reference machines. ``mean_offset``: shape ``(d,)``, the mean of evidence minus nearest centre.
    ``channels``: the scores of other channels, those over long spans with the first recording of
    each file.
    """

    scores: DoubleArray
    levels_db: DoubleArray
    seconds: float
    whole: float
    stretches: DoubleArray
    reference_match: ReferenceMatch | None = None
    mean_offset: DoubleArray | None = None
    channels: Mapping[ChannelKey, DoubleArray] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The values of the blocks by file, and the mean length of a block in seconds."""

    by_file: list[DoubleArray]
    length_s: float

    @property
    def values(self) -> DoubleArray:
        return np.concatenate(self.by_file)


def calibrate(
    recordings: Sequence[HealthyRecording],
    *,
    false_alarms_per_week: float,
    persistence: Persistence,
    hop_s: float,
    span_s: float,
    distances: bool,
    files: Sequence[int] | None = None,
    seed: int = 0,
) -> Calibration:
    """A threshold for at most ``false_alarms_per_week``, with the figures that it is based on.

    ``distances``: whether scores are distances, or the plain error. ``files``: of each recording,
    the number of the file that it is a part of; None if each is a file. The other channels of
    the recordings have shares of the budget; the scores keep the rest.

    Raises ``BadInputError`` for fewer than four independent blocks.
    """
    numbers = range(len(recordings)) if files is None else files
    has_scores = [len(recording.scores) > 0 for recording in recordings]
    scored, file = list(compress(recordings, has_scores)), list(compress(numbers, has_scores))
    n_files = len(set(file))
    seconds = sum(recording.seconds for recording in scored)
    blocks = _block_values(scored, file, persistence, hop_s, span_s)
    if len(blocks.values) < _LEAST_BLOCKS:
        needed_s = _LEAST_BLOCKS * (span_s + persistence.out_of * hop_s)
        raise BadInputError(
            f"{duration(seconds)} of healthy sound in {counted(n_files, 'recording')} is too "
            f"little to set a threshold: give at least {math.ceil(needed_s)} s of sound, or "
            f"{_LEAST_BLOCKS} recordings"
        )
    supported = WEEK_S / (blocks.length_s * (len(blocks.values) + 1))
    power = 2.0 if distances else 1.0
    whole_values = by_file([np.array([recording.whole]) for recording in scored], file)
    wholes = _Blocks(whole_values, seconds / len(scored))
    asked = (false_alarms_per_week, *BUDGETS)
    of_channels = [recording.channels for recording in scored]
    channels = channel_values(of_channels, file, persistence, span_s=span_s, hop_s=hop_s)
    again: list[ChannelValues] = []
    if distances:
        own = [recording.scores for recording in scored]
        again = recurring_values(of_channels, own, file, span_s=span_s, hop_s=hop_s)
    share = 1.0 - sum(channel.share for channel in (*channels, *again))
    of_scores = [share * budget for budget in asked]
    (threshold, method), *others = _thresholds(blocks, of_scores, power, seed)
    by_budget = dict(sorted(zip(asked, [threshold, *(one for one, _ in others)], strict=True)))
    calibrated = [channel.calibrated([*by_budget], seed) for channel in channels]
    calibrated += recurring_channels(again, calibrated, by_budget, seed)
    recording_threshold, *whole_others = _recording_thresholds(wholes, asked, power, seed)
    scores = np.concatenate([recording.scores for recording in scored])
    levels_db = np.concatenate([recording.levels_db for recording in scored])
    means_db = np.array([recording.levels_db.mean() for recording in scored])
    return Calibration(
        threshold=threshold,
        recording_threshold=recording_threshold,
        false_alarms_per_week=false_alarms_per_week,
        supported_false_alarms_per_week=supported,
        method=method,
        healthy_s=seconds,
        recordings=n_files,
        blocks=len(blocks.values),
        block_s=blocks.length_s,
        persistence_required=persistence.required,
        persistence_out_of=persistence.out_of,
        score_median=float(np.median(scores)),
        score_deviation=float(np.std(blocks.values)),
        level_db=float(np.median(levels_db)),
        level_low_db=float(min(means_db.min(), np.quantile(levels_db, 0.005))),
        level_high_db=float(max(means_db.max(), np.quantile(levels_db, 0.995))),
        recording_scores=_standing_for_all(wholes.values),
        budgets=tuple(
            BudgetThreshold(false_alarms_per_week=budget, threshold=live, recording_threshold=whole)
            for budget, (live, _), whole in zip(BUDGETS, others, whole_others, strict=True)
        ),
        channels=tuple(calibrated),
        provisional=supported > false_alarms_per_week,
        stretch_scores=_standing_for_all(np.concatenate([r.stretches for r in scored])),
        note=_note(scored, false_alarms_per_week, supported, persistence.needs_s(span_s, hop_s)),
    )


def _standing_for_all(values: DoubleArray) -> tuple[float, ...]:
    """The values in rising order; of too many, every so many-th one."""
    n_kept = min(len(values), MOST_SCORES)
    kept = np.linspace(0, len(values) - 1, n_kept).round().astype(int)
    return tuple(np.sort(values)[kept].tolist())


def _note(
    recordings: Sequence[HealthyRecording], asked: float, supported: float, needs_s: float
) -> str:
    """How far the recordings are enough for the budget, for people."""
    recorded = duration(sum(recording.seconds for recording in recordings))
    budget = f"{counted(asked, 'false alarm')} a week"
    note = f"{recorded} recorded: enough to count {budget}"
    if supported > asked:
        note = (
            f"Only {recorded} recorded: the threshold for {budget} is an estimate. "
            "Record on more days"
        )
    if float(np.median([recording.seconds for recording in recordings])) < needs_s:
        note += (
            f". Recordings as short as these raise no alert, because an alert needs {needs_s:.1f} "
            "s of unbroken sound: use the score of the whole recording"
        )
    return note


def _block_values(
    recordings: Sequence[HealthyRecording],
    file: Sequence[int],
    rule: Persistence,
    hop_s: float,
    span_s: float,
) -> _Blocks:
    series = [persistent_scores(recording.scores, rule) for recording in recordings]
    least = max(1, math.ceil(span_s / hop_s), rule.out_of)
    per_block = max(least, decorrelation(series))
    values = [maxima(persistent, per_block) for persistent in series]
    # The block of a short recording holds fewer scores, and so is less of a chance.
    lengths = [len(s) / len(v) for s, v in zip(series, values, strict=True) for _ in v]
    length_s = hop_s * float(np.mean(np.maximum(lengths, span_s / hop_s)))
    return _Blocks(by_file(values, file), length_s)


def _thresholds(
    blocks: _Blocks, budgets: Sequence[float], power: float, seed: int
) -> list[tuple[float, Literal["conformal", "generalised_pareto"]]]:
    """For each budget the value that is passed so often: counted, or extrapolated from powers."""

    def extrapolated(rare: list[float]) -> list[float]:
        groups = [group**power for group in blocks.by_file]
        return [one ** (1.0 / power) for one in rare_thresholds(groups, rare, seed)]

    allowed = [budget * blocks.length_s / WEEK_S for budget in budgets]
    return [
        (threshold, "conformal" if is_counted else "generalised_pareto")
        for threshold, is_counted in counted_thresholds(blocks.values, allowed, extrapolated)
    ]


def _recording_thresholds(
    wholes: _Blocks, budgets: Sequence[float], power: float, seed: int
) -> list[float]:
    """For each budget the threshold for recordings: as for blocks, or by the tail of many files."""
    one_a_file = len(wholes.by_file) == len(wholes.values)
    powers = wholes.values**power
    found = []
    for budget, (threshold, method) in zip(
        budgets, _thresholds(wholes, budgets, power, seed), strict=True
    ):
        tail = few_exceed(powers, budget * wholes.length_s / WEEK_S) if one_a_file else None
        least = 0.0 if method == "conformal" else threshold
        found.append(threshold if tail is None else max(tail ** (1.0 / power), least))
    return found
