"""Thresholds beyond everything that was heard: kept, and much the same whoever was heard."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.detection.budget import ALLOWED, KINDS, Healthy
from monitor.far_quantile import far_quantile, run_maxima

values = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=12)


@given(st.lists(values, min_size=1, max_size=6), st.integers(0, 9))
def test_a_run_counts_once_and_no_run_goes_on_in_the_next_recording(
    recordings: list[list[float]], start: int
) -> None:
    """Alarms would be counted that nobody gets, or two recordings' taken for one."""
    expected = [
        max(run)
        for recording in recordings
        for over, run in groupby(recording, key=lambda value: value > start)
        if over
    ]
    found = run_maxima([np.array(recording) for recording in recordings], float(start))
    assert found.tolist() == expected


def distances(n_odd: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Squared distances of sixteen recordings; odd ones are long and some 48 away, not 32."""
    recordings = []
    for i in range(16):
        n_values = 12 if i < n_odd else int(rng.integers(5, 11))
        level = (2150.0 if i < n_odd else 850.0) + 60.0 * rng.standard_normal()
        recordings.append(level + rng.gamma(4.0, 35.0, n_values))
    return recordings


@pytest.mark.parametrize("n_odd", [1, 2])
def test_a_threshold_does_not_hang_on_an_odd_recording(n_odd: int) -> None:
    """Which days were recorded would decide whether faults are missed or sleep is lost."""
    rng = np.random.default_rng(0)
    squared = [far_quantile(distances(n_odd, rng), 1e-5, seed) for seed in range(20)]
    thresholds = np.sqrt(squared)
    assert thresholds.max() < 1.4 * thresholds.min()
    assert thresholds.min() > 50.0
    assert thresholds.max() < 90.0


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_budget_is_kept_by_recordings_alike_and_unlike(kind: Healthy) -> None:
    """The operator would be woken more often than was promised, or no fault would be heard."""
    rng = np.random.default_rng(1)
    thresholds = [far_quantile(kind.draw(16, 8, rng), ALLOWED, seed) for seed in range(20)]
    truth = kind.truth(8)
    assert sum(threshold >= truth for threshold in thresholds) >= 12
    assert np.median(thresholds) < 1.7 * truth


def test_the_truth_of_the_simulated_recordings_is_what_is_drawn() -> None:
    """The benchmark would hold thresholds against a wrong truth."""
    rng = np.random.default_rng(2)
    for kind in KINDS:
        threshold = np.quantile([max(group) for group in kind.draw(2_000, 8, rng)], 0.99)
        passed = np.mean([max(group) > threshold for group in kind.draw(40_000, 8, rng)])
        assert kind.alarms(float(threshold), 8) * 8 == pytest.approx(passed, rel=0.2)


def test_few_recordings_and_few_values_have_a_threshold_too() -> None:
    """A first hour with a machine would end in a traceback."""
    for groups in ([np.array([3.0])], [np.full(6, 2.0)], [np.arange(4.0), np.arange(3.0)]):
        assert far_quantile(groups, 1e-4, 0) >= max(group.max() for group in groups)
