"""Healthy values of the channels of a bundle to their thresholds.

All channels together may give as many false alarms as the budget, so each has a share of it. The
distance over the span of the bundle keeps the largest share.

Over a long span, chance variation is small, and what remains is how recordings differ from each
other. A few recordings do not show the rare one that differs far more. Among the healthy sound of
public machines (24 flights of a drone, 36 recordings of a compressor on three days, 350 clips of
toy cars), one of fifty recordings is at 2.2 to 3.9 times the median distance. So there are no
distances over long spans until there are enough recordings to have seen such a one. Peaks need no
such limit: the same flight that is at 3.9 times the median distance has 1.2 times the median peaks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from monitor.calibration.blocks import WEEK_S, block_values, by_file, counted_thresholds, maxima
from monitor.calibration.predictive_tail import SpreadPrior, predictive_thresholds
from monitor.calibration.tail import rare_thresholds
from monitor.detection.persistence import Persistence
from monitor.domain import DoubleArray
from monitor.model.channel_calibration import (
    RECURRING,
    ChannelBudget,
    ChannelCalibration,
    EvidenceKind,
)
from monitor.model.long_spans import nominal_s

ENOUGH_RECORDINGS = 150
LEAST_VALUES = 4
_RECURRING_SHARE = 0.003
"""Of the budget, for each evidence that may come again and again."""
SHORT_SHARES: Mapping[EvidenceKind, float] = {"envelope": 0.08, "lines": 0.04}
LONG_SHARES: Mapping[EvidenceKind, float] = {"distance": 0.02, "envelope": 0.07, "lines": 0.03}
"""Shares of the budget, over the span of the bundle and over each long span."""
_SPREADS: Mapping[EvidenceKind, Mapping[float, float]] = {
    "envelope": {0.0: 0.12, 10.0: 0.29, 15.0: 0.36, 27.0: 0.4},
    "lines": {0.0: 0.24, 10.0: 0.33, 15.0: 0.38, 27.0: 0.42},
}
_SPREAD_OF_MINUTES = 0.28
"""How much the largest peaks of recordings vary, relative to their mean, over the span of the
bundle (0) and over each long span. From left-out recordings of a fan, a drone, a compressor and
MIMII fans: the root mean square of what each shows is .15, .31, .39 and .46 for the envelope, and
.33, .42, .45 and .51 for lines. No recording there is as long as two minutes,
over which less remains of chance."""


class ChannelKey(NamedTuple):
    """A channel: its evidence, the seconds of one score, and those from score to score."""

    evidence: EvidenceKind
    span_s: float
    step_s: float


@dataclass(frozen=True, slots=True)
class ChannelValues:
    """The healthy values of one channel, from statistics that did not include their recording.

    ``by_file``: for each file the largest value that is compared with the threshold, of each block
    of ``block_s`` seconds, in their order. ``scores``: all scores.
    """

    key: ChannelKey
    block_s: float
    is_long: bool
    by_file: Sequence[DoubleArray] = field(repr=False)
    scores: DoubleArray = field(repr=False)

    @property
    def share(self) -> float:
        """The share of the budget."""
        if self.key.evidence in RECURRING:
            return _RECURRING_SHARE
        return (LONG_SHARES if self.is_long else SHORT_SHARES)[self.key.evidence]

    def calibrated(
        self, budgets: Sequence[float], seed: int, least: Sequence[float] | None = None
    ) -> ChannelCalibration:
        """The thresholds for budgets in rising order, each at least that of ``least``."""
        thresholds = self._thresholds([budget * self.share for budget in budgets], seed)
        if least is not None:
            thresholds = [max(pair) for pair in zip(thresholds, least, strict=True)]
        return ChannelCalibration(
            **self.key._asdict(),
            score_median=float(np.median(self.scores)),
            budgets=tuple(
                ChannelBudget(false_alarms_per_week=budget, threshold=threshold)
                for budget, threshold in zip(budgets, thresholds, strict=True)
            ),
        )

    def _thresholds(self, per_week: Sequence[float], seed: int) -> list[float]:
        """Counted where there are enough values, extrapolated otherwise."""
        allowed = [one * self.block_s / WEEK_S for one in per_week]
        values = np.concatenate(self.by_file)
        found = counted_thresholds(values, allowed, lambda rare: self._extrapolated(rare, seed))
        return [threshold for threshold, _ in found]

    def _extrapolated(self, allowed: Sequence[float], seed: int) -> list[float]:
        evidence = RECURRING.get(self.key.evidence, self.key.evidence)
        if evidence == "distance":
            squares = [np.square(values) for values in self.by_file]
            return [math.sqrt(one) for one in rare_thresholds(squares, allowed, seed)]
        nominal = nominal_s(self.key.span_s) if self.is_long else 0.0
        prior = SpreadPrior(_SPREADS[evidence].get(nominal, _SPREAD_OF_MINUTES))
        return predictive_thresholds(self.by_file, allowed, prior)


def channel_values(
    recordings: Sequence[Mapping[ChannelKey, DoubleArray]],
    file: Sequence[int],
    rule: Persistence,
    *,
    span_s: float,
    hop_s: float,
) -> list[ChannelValues]:
    """The values of each channel that has enough of them for a threshold.

    ``recordings``: the scores of each recording by channel. ``file``: the number of its file.
    ``rule``, ``span_s`` and ``hop_s``: of the scores over the span of the bundle.
    """
    keys = dict.fromkeys(key for recording in recordings for key in recording)
    found = []
    for key in keys:
        pairs = [
            (number, recording[key])
            for number, recording in zip(file, recordings, strict=True)
            if len(recording.get(key, ()))
        ]
        is_long = key.span_s > span_s + hop_s / 2
        if is_long:
            blocks = [maxima(scores, round(key.span_s / key.step_s)) for _, scores in pairs]
            block_s = key.span_s
        else:
            per_block = max(rule.out_of, math.ceil(span_s / hop_s))
            blocks = [block_values(scores, rule, per_block) for _, scores in pairs]
            block_s = per_block * hop_s
        if sum(map(len, blocks)) < LEAST_VALUES:
            continue
        together = by_file(blocks, [number for number, _ in pairs])
        if is_long and key.evidence == "distance" and len(together) < ENOUGH_RECORDINGS:
            continue
        scores = np.concatenate([scores for _, scores in pairs])
        found.append(ChannelValues(key, block_s, is_long, together, scores))
    return found
