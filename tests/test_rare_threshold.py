"""Thresholds above every recorded score: the budget is kept, and the estimate is stable."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.detection.simulated_scores import (
    ALIKE,
    KINDS,
    TWO_STATES,
    UNLIKE,
    SimulatedScores,
)
from monitor.calibration.tail import pieces, rare_threshold, run_maxima, tail_of

pytestmark = pytest.mark.slow

ALLOWED = 1e-5
REPEATS = 4
"""Calibrations of each case; 20 give the same results in five times the time."""

values = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=12)
recordings = st.lists(values, min_size=1, max_size=6)


@given(recordings, st.integers(0, 9))
def test_a_run_counts_once_and_no_run_goes_on_in_the_next_recording(
    groups: list[list[float]], start: int
) -> None:
    """One alarm is counted several times, or the alarms of two recordings once."""
    expected = [
        max(run)
        for group in groups
        for over, run in groupby(group, key=lambda value: value > start)
        if over
    ]
    found = run_maxima([np.array(group) for group in groups], float(start))
    assert found.tolist() == expected


@given(recordings)
def test_a_bootstrap_draws_recordings_or_long_stretches_of_the_few_there_are(
    groups: list[list[float]],
) -> None:
    """The order of dependent values or the differences between recordings are lost."""
    arrays = [np.array(group) for group in groups]
    drawn_from = pieces(arrays)
    assert np.concatenate(drawn_from).tolist() == np.concatenate(arrays).tolist()
    if len(groups) >= 5:
        assert [len(piece) for piece in drawn_from] == [len(group) for group in groups]
    lengths = [len(piece) for piece in pieces([np.arange(30.0), np.arange(70.0)])]
    assert lengths == [10] * 10


def distances(n_odd: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Squared distances of sixteen recordings; ``n_odd`` of them are about 48, the others 32."""
    groups = []
    for i in range(16):
        n_values = int(rng.integers(5, 11))
        level = (2150.0 if i < n_odd else 850.0) + 60.0 * rng.standard_normal()
        groups.append(level + rng.gamma(4.0, 35.0, n_values))
    return groups


@pytest.mark.parametrize(("n_odd", "most"), [(0, 55), (1, 80), (2, 88), (4, 100), (8, 65)])
def test_a_threshold_depends_little_on_how_many_recordings_are_unusual(
    n_odd: int, most: float
) -> None:
    """The choice of days decides whether faults are missed or false alarms are raised."""
    rng = np.random.default_rng(0)
    squared = [rare_threshold(distances(n_odd, rng), ALLOWED, seed) for seed in range(REPEATS)]
    thresholds = np.sqrt(squared)
    assert thresholds.min() > (50.0 if n_odd else 36.0)
    assert thresholds.max() < most


@pytest.mark.parametrize("length", [1, 3])
def test_a_run_of_any_length_is_one_alarm(length: int) -> None:
    """A long run counts as many alarms, and the threshold is too high for faults."""
    peaks = -np.log((np.arange(200) + 0.5) / 200.0)  # as an exponential tail has them
    runs = [np.r_[np.full(length, 5.0 + peak), np.full(9, 5.0)] for peak in peaks]
    n_values = 200 * (length + 9)
    allowed = 1e-3 * 200 / n_values  # one run of a thousand
    found = tail_of(runs, length / (length + 9)).exceeded_by(allowed)
    assert found == pytest.approx(5.0 + np.log(1e3), rel=0.1)


@pytest.mark.parametrize("sizes", [(16, 8), (8, 30), (170, 1)], ids=str)
@pytest.mark.parametrize("kind", [*ALIKE, *TWO_STATES], ids=lambda kind: kind.name)
def test_the_budget_is_kept_and_faults_are_detected(
    kind: SimulatedScores, sizes: tuple[int, int]
) -> None:
    """More false alarms than the budget are raised, or no fault is detected."""
    kept, over = compared_with_the_truth(kind, sizes)
    assert kept >= 0.75
    assert over < 1.6


@pytest.mark.parametrize("kind", UNLIKE, ids=lambda kind: kind.name)
def test_recordings_that_differ_are_not_treated_as_similar(kind: SimulatedScores) -> None:
    """A machine that differs from day to day raises an alert on every new day."""
    kept, over = compared_with_the_truth(kind, (16, 8))
    assert kept >= 0.2
    assert 0.85 < over < 1.6


def compared_with_the_truth(kind: SimulatedScores, sizes: tuple[int, int]) -> tuple[float, float]:
    """The share of calibrations that keep the budget; the median threshold, in true distances."""
    rng = np.random.default_rng(1)
    squared = [rare_threshold(kind.draw(*sizes, rng), ALLOWED, seed) for seed in range(REPEATS)]
    truth = kind.truth(sizes[1], ALLOWED)
    over = float(np.sqrt(np.median(squared) / truth))
    return float(np.mean(np.array(squared) >= truth)), over


def test_the_truth_of_the_simulated_recordings_is_what_is_drawn() -> None:
    """The thresholds are compared with a wrong distribution."""
    rng = np.random.default_rng(2)
    for kind in KINDS:
        threshold = np.quantile([max(group) for group in kind.draw(2_000, 8, rng)], 0.99)
        passed = np.mean([max(group) > threshold for group in kind.draw(40_000, 8, rng)])
        assert kind.alarms(float(threshold), 8) * 8 == pytest.approx(passed, rel=0.2)


def test_few_recordings_and_few_values_have_a_threshold_too() -> None:
    """The first calibration of a machine ends in a traceback."""
    for groups in ([np.array([3.0])], [np.full(6, 2.0)], [np.arange(4.0), np.arange(3.0)]):
        assert np.isfinite(rare_threshold(groups, 1e-4, 0))


def test_no_threshold_is_below_a_healthy_value() -> None:
    """Healthy sound of the calibration raises an alert."""
    rng = np.random.default_rng(3)
    groups = [*rng.chisquare(30, (40, 8)), np.array([500.0])]
    assert rare_threshold(groups, 0.01, 0) >= 500.0
