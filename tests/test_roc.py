"""Areas and intervals, compared with scikit-learn and with known distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from monitor.errors import UsageError
from monitor.offline.roc import bootstrap_interval, partial_auc, roc_auc

ROWS = st.lists(
    st.tuples(st.booleans(), st.one_of(st.integers(0, 4), st.floats(-1e6, 1e6, width=32))),
    min_size=2,
    max_size=60,
).filter(lambda rows: len({is_anomalous for is_anomalous, _ in rows}) == 2)


@given(ROWS, st.floats(0.01, 1.0))
def test_areas_agree_with_scikit_learn(rows: list[tuple[bool, float]], max_fpr: float) -> None:
    """The figures could not be compared with those of other programs."""
    labels, scores = [row[0] for row in rows], [float(row[1]) for row in rows]
    assert roc_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    for most in (0.1, max_fpr):
        expected = roc_auc_score(labels, scores, max_fpr=most)
        assert partial_auc(labels, scores, most) == pytest.approx(expected, abs=1e-12)


@given(ROWS)
def test_roc_auc_is_the_probability_of_the_order(rows: list[tuple[bool, float]]) -> None:
    """The reported detection quality would be wrong."""
    pairs = [
        1.0 if anomalous > normal else 0.5 if anomalous == normal else 0.0
        for is_anomalous, anomalous in rows
        if is_anomalous
        for is_other, normal in rows
        if not is_other
    ]
    labels, scores = [row[0] for row in rows], [float(row[1]) for row in rows]
    assert roc_auc(labels, scores) == pytest.approx(sum(pairs) / len(pairs))


def test_partial_auc_is_one_half_for_chance_and_one_for_perfection() -> None:
    """The partial area could not be compared with published figures."""
    assert partial_auc([0, 0, 1, 1], [1, 2, 3, 4]) == 1.0
    same = np.zeros(40)
    assert partial_auc(np.arange(40) % 2, same, max_fpr=0.1) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("labels", "scores"), [([1, 1], [1, 2]), ([0, 1], [1, math.nan]), ([0, 1, 1], [1, 2])]
)
def test_an_impossible_curve_is_refused(labels: list[int], scores: list[float]) -> None:
    """A meaningless figure would be printed."""
    for area in (roc_auc, partial_auc):
        with pytest.raises(UsageError):
            area(labels, scores)


@pytest.mark.parametrize("max_fpr", [0.0, -0.1, 1.1, math.nan])
def test_an_impossible_rate_is_refused(max_fpr: float) -> None:
    """The area of no part of the curve would be printed."""
    with pytest.raises(UsageError, match="max_fpr"):
        partial_auc([0, 1], [0, 1], max_fpr)


def test_the_interval_contains_the_true_mean_as_often_as_it_says() -> None:
    """An interval of 95 % that is right in 70 % of the cases would be believed."""
    rng = np.random.default_rng(1)
    inside = 0
    for seed in range(200):
        low, high = bootstrap_interval(
            [rng.normal(3.0, 1.0, 60)], lambda one: float(one.mean()), resamples=300, seed=seed
        ) or (0.0, 0.0)
        inside += low <= 3.0 <= high
    assert 0.89 <= inside / 200 <= 0.99


def test_the_interval_depends_on_the_seed_only() -> None:
    """Two runs of one command would print different figures."""
    groups = [np.arange(9.0), np.arange(5.0, 12.0)]

    def area(normal: np.ndarray, anomalous: np.ndarray) -> float:
        labels = [0] * len(normal) + [1] * len(anomalous)
        return roc_auc(labels, np.concatenate([normal, anomalous]))

    first = bootstrap_interval(groups, area, resamples=200, seed=3)
    assert first == bootstrap_interval(groups, area, resamples=200, seed=3)
    assert first != bootstrap_interval(groups, area, resamples=200, seed=4)
    assert first is not None
    assert first[0] < area(*groups) < first[1]


def test_one_recording_gives_no_interval() -> None:
    """An interval of width zero would look like a certain figure."""
    assert bootstrap_interval([np.ones(1), np.arange(3.0)], lambda *_: 0.0) is None
