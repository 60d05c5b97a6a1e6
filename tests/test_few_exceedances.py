"""Thresholds that few of many healthy values exceed: the chance is kept, the estimate is stable."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detection.simulated_scores import ALIKE, UNLIKE, SimulatedScores
from monitor.calibration.blocks import WEEK_S
from monitor.calibration.few_exceedances import FEW, LEAST_VALUES, few_exceed
from monitor.calibration.threshold import HealthyRecording, calibrate
from monitor.detection.persistence import Persistence

N = 175


@pytest.mark.parametrize("exceedances", [1.0, 3.0])
def test_the_chance_is_exact_for_an_exponential_tail(exceedances: float) -> None:
    """More or fewer new values than allowed are over the threshold."""
    rng = np.random.default_rng(0)
    allowed = exceedances / (N + 1)
    thresholds = [few_exceed(rng.exponential(size=N), allowed) for _ in range(20_000)]
    chance = np.exp(-np.array(thresholds, dtype=float)).mean()
    assert chance == pytest.approx(allowed, rel=0.02)


@pytest.mark.parametrize("kind", [*ALIKE, *UNLIKE], ids=lambda kind: kind.name)
def test_it_is_as_rare_as_the_largest_value_and_varies_less(kind: SimulatedScores) -> None:
    """The budget is exceeded, or the threshold depends on a single recording."""
    rng = np.random.default_rng(0)
    draws = [np.concatenate(kind.draw(N, 1, rng)) for _ in range(60)]
    found = [few_exceed(values, 1 / (N + 1)) or 0.0 for values in draws]
    passed = np.mean([kind.alarms(threshold, 1) for threshold in found])
    assert 0.5 < passed * (N + 1) < 1.25
    assert np.std(found) < 0.95 * np.std([values.max() for values in draws])


def test_what_is_counted_or_extrapolated_is_left_to_others() -> None:
    """A tail of few values is used, or a budget that is counted."""
    values = np.random.default_rng(0).exponential(size=N)
    assert few_exceed(values[: LEAST_VALUES - 1], 0.01) is None
    assert few_exceed(values, FEW / (N + 1)) is None
    assert few_exceed(values, 1e-9) == few_exceed(values, 1 / (N + 1))


def test_recordings_have_a_higher_threshold_for_a_smaller_budget() -> None:
    """A smaller budget gives a lower threshold, or that of the largest recording."""
    rng = np.random.default_rng(1)
    scores = 20.0 + rng.exponential(size=(N, 1))
    healthy = [HealthyRecording(own, np.full(1, -30.0), 10.0, float(own[0]), own) for own in scores]
    a_week = WEEK_S / 10.0

    def threshold(share: float) -> float:
        calibration = calibrate(
            healthy,
            false_alarms_per_week=share * a_week,
            persistence=Persistence(1, 1),
            hop_s=1.0,
            span_s=4.0,
            distances=True,
        )
        return calibration.recording_threshold

    thresholds = [threshold(share) for share in (0.1, 0.03, 0.028, 0.012, 1 / N, 0.0056, 0.0001)]
    assert thresholds == sorted(thresholds)
    squared = few_exceed(np.square(scores[:, 0]), 1 / N)
    assert squared == pytest.approx(thresholds[4] ** 2)
