"""Thresholds of channels: within the budget, and above what one odd recording needs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from monitor.calibration.blocks import WEEK_S
from monitor.calibration.channels import (
    ENOUGH_RECORDINGS,
    ChannelKey,
    channel_values,
)
from monitor.calibration.predictive_tail import (
    SpreadPrior,
    predictive_thresholds,
    student_quantile,
)
from monitor.detection.persistence import Persistence
from monitor.domain import DoubleArray
from monitor.model.channel_calibration import EvidenceKind

RULE = Persistence(10, 11)
SHORT, HOP_S = 2.08, 0.512
KINDS: tuple[EvidenceKind, ...] = ("distance", "envelope", "lines")


@pytest.mark.parametrize("freedom", [3.0, 5.0, 16.0, 21.0, 60.0, 2000.0])
def test_the_quantile_is_that_of_student(freedom: float) -> None:
    """A threshold is set for another probability than the budget."""
    for probability in (0.5, 0.1, 1e-2, 1e-4, 1e-6, 1e-9):
        expected = stats.t.isf(probability, freedom)
        assert student_quantile(probability, freedom) == pytest.approx(expected, rel=2e-4, abs=1e-9)


@pytest.mark.parametrize("n", [6, 16])
def test_the_predictive_threshold_keeps_its_promise(n: int) -> None:
    """Recordings of a machine as varied as the prior exceed the threshold more often."""
    rng = np.random.default_rng(0)
    allowed, spread, mean = 1e-3, 0.1, 5.0
    over = []
    for _ in range(300):
        recordings = [np.array([value]) for value in rng.normal(mean, spread * mean, n)]
        (threshold,) = predictive_thresholds(recordings, [allowed], SpreadPrior(spread))
        over.append(stats.norm.sf(threshold, mean, spread * mean))
    assert np.mean(over) < 1.5 * allowed
    assert np.mean(over) > 0.2 * allowed


def test_fewer_than_six_recordings_have_a_higher_threshold() -> None:
    """A speed that four recordings lack raises an alert."""

    def above_mean(n: int, allowed: float) -> float:
        recordings = [np.array([value]) for value in np.resize([4.0, 6.0], n)]
        (threshold,) = predictive_thresholds(recordings, [allowed], SpreadPrior(0.2, 1e6))
        return float((threshold - 5.0) / np.sqrt(1.0 + 1.0 / n))

    assert above_mean(12, 1e-6) == pytest.approx(above_mean(6, 1e-6), rel=1e-3)
    assert above_mean(4, 0.05) == pytest.approx(above_mean(6, 0.05), rel=1e-3)
    rare, shown = above_mean(6, 1e-6), above_mean(6, 0.05)
    assert above_mean(4, 1e-6) - shown == pytest.approx(1.5 * (rare - shown), rel=1e-3)


def values(n_files: int) -> list[DoubleArray]:
    rng = np.random.default_rng(n_files)
    return [rng.normal(10.0, 0.5, 40) for _ in range(n_files)]


def threshold(kind: EvidenceKind, span_s: float, n_files: int, per_week: float = 1.0) -> float:
    key = ChannelKey(kind, span_s, span_s / 8 if span_s > SHORT else HOP_S)
    recordings = [{key: scores} for scores in values(n_files)]
    (channel,) = channel_values(recordings, list(range(n_files)), RULE, span_s=SHORT, hop_s=HOP_S)
    found = channel.calibrated([0.1, per_week, 10_000.0], 0).threshold_for(per_week)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["envelope", "lines"])
def test_a_lower_budget_has_a_higher_threshold(kind: EvidenceKind) -> None:
    """The thresholds of a channel are not in the order of their budgets."""
    budgets = (0.2, 1.0, 50.0, 5_000.0)
    thresholds = [threshold(kind, 120.0, 8, budget) for budget in budgets]
    assert thresholds == sorted(thresholds, reverse=True)


def test_few_recordings_cannot_rule_out_an_odd_one() -> None:
    """With few recordings, an odd recording raises an alert over a long span."""
    for n_files in (ENOUGH_RECORDINGS - 1, ENOUGH_RECORDINGS):
        keys = [ChannelKey(kind, span_s, 15.0) for kind in KINDS for span_s in (SHORT, 120.0)]
        recordings = [dict.fromkeys(keys, scores) for scores in values(n_files)]
        found = channel_values(recordings, range(n_files), RULE, span_s=SHORT, hop_s=HOP_S)
        has_distance = ("distance", 120.0) in {(one.key.evidence, one.key.span_s) for one in found}
        assert has_distance == (n_files == ENOUGH_RECORDINGS)
        assert len(found) == len(keys) - (not has_distance)


def test_many_values_are_counted() -> None:
    """A threshold is extrapolated although there are enough values to count."""
    key = ChannelKey("envelope", 120.0, 15.0)
    scores = np.random.default_rng(0).normal(5.0, 1.0, 8 * 1_000)
    (channel,) = channel_values([{key: scores}], [0], RULE, span_s=SHORT, hop_s=HOP_S)
    per_week = 0.1 * WEEK_S / 120.0 / channel.share
    (budget,) = channel.calibrated([per_week], 0).budgets
    blocks = scores.reshape(1_000, 8).max(axis=1)
    assert np.mean(blocks > budget.threshold) == pytest.approx(0.1, abs=0.005)


def test_a_channel_with_few_values_has_no_threshold() -> None:
    """Three values are taken for a distribution."""
    key = ChannelKey("envelope", 120.0, 15.0)
    recordings = [{key: np.array([5.0])}] * 3
    assert not channel_values(recordings, [0, 1, 2], RULE, span_s=SHORT, hop_s=HOP_S)
