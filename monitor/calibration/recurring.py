"""Healthy values of sounds that come again and again (:mod:`monitor.model.recurrence`).

Healthy sound has such sounds too: a valve that opens every half minute, people beside the machine.
They do not last long enough to change the other thresholds. So there are thresholds of their own,
from the highest scores of the minutes of healthy sound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from monitor.calibration.blocks import block_values, by_file, maxima
from monitor.calibration.channels import LEAST_VALUES, ChannelKey, ChannelValues
from monitor.detection.persistence import Persistence
from monitor.domain import DoubleArray
from monitor.model.channel_calibration import RECURRING, ChannelCalibration, EvidenceKind
from monitor.model.recurrence import N_PARTS, NEEDED, PART_S, RECURRING_S, parts_of

_RULE = Persistence(NEEDED, N_PARTS)


def recurring_values(
    recordings: Sequence[Mapping[ChannelKey, DoubleArray]],
    distances: Sequence[DoubleArray],
    file: Sequence[int],
    *,
    span_s: float,
    hop_s: float,
) -> list[ChannelValues]:
    """The values of each evidence that has enough of them for a threshold.

    ``recordings``: the scores of each recording by channel. ``distances``: those over the span of
    the bundle. ``file``: the number of its file. ``span_s`` and ``hop_s``: of the scores over the
    span of the bundle. A recording of less than fifteen minutes gives one value, with the same
    share of its minutes.
    """
    found = []
    for kind, evidence in RECURRING.items():
        every = distances
        if evidence != "distance":
            every = [_over_span(recording, evidence, span_s, hop_s) for recording in recordings]
        minutes = [
            (number, maxima(scores, parts_of(hop_s)))
            for number, scores in zip(file, every, strict=True)
            if len(scores)
        ]
        blocks = [block_values(one, _RULE, N_PARTS) for _, one in minutes]
        if sum(map(len, blocks)) < LEAST_VALUES:
            continue
        together = by_file(blocks, [number for number, _ in minutes])
        scores = np.concatenate([one for _, one in minutes])
        recurring = ChannelKey(kind, RECURRING_S, PART_S)
        found.append(ChannelValues(recurring, RECURRING_S, False, together, scores))
    return found


def recurring_channels(
    values: Sequence[ChannelValues],
    others: Sequence[ChannelCalibration],
    thresholds: Mapping[float, float],
    seed: int,
) -> list[ChannelCalibration]:
    """The channels of ``values``, with thresholds for the budgets of ``thresholds``.

    ``thresholds``: of the scores over the span of the bundle, in rising order of the budget.
    ``others``: the other channels. Each sound must be unusual by itself, so no threshold is below
    that of the same evidence over the span of the bundle.
    """
    single: dict[EvidenceKind, list[float]] = {"distance": list(thresholds.values())}
    for one in sorted(others, key=lambda one: -one.span_s):  # the shortest span is the last
        if one.evidence != "distance":
            single[one.evidence] = [budget.threshold for budget in one.budgets]
    return [
        one.calibrated([*thresholds], seed, single[RECURRING[one.key.evidence]])
        for one in values
        if RECURRING[one.key.evidence] in single
    ]


def _over_span(
    scores: Mapping[ChannelKey, DoubleArray], evidence: EvidenceKind, span_s: float, hop_s: float
) -> DoubleArray:
    """The scores of the evidence over the span of the bundle; none where there are none."""
    for key, values in scores.items():
        if key.evidence == evidence and key.span_s < span_s + hop_s / 2:
            return values
    return np.empty(0)
