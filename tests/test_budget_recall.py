"""The recall of injected disturbances by budget, and the line about a budget without support."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.calibration.threshold import BUDGETS, HealthyRecording, calibrate
from monitor.detection.persistence import Persistence
from monitor.model.manifest import Calibration
from training.sound.budget_recall import BudgetRecall, budget_line


def calibration(seconds: float, per_week: float) -> Calibration:
    rng = np.random.default_rng(1)
    recordings = [
        HealthyRecording(
            np.sqrt(rng.chisquare(20, round(seconds / 4 * 2))),
            np.zeros(1),
            seconds / 4,
            4.0,
            np.array([4.0]),
        )
        for _ in range(4)
    ]
    return calibrate(
        recordings,
        false_alarms_per_week=per_week,
        persistence=Persistence(1, 1),
        hop_s=0.5,
        span_s=2.0,
        distances=True,
    )


def test_a_higher_budget_has_a_lower_threshold_and_never_detects_less() -> None:
    """The table of budgets would advise a budget that detects less."""
    known = calibration(120.0, 1.0)
    thresholds = [known.threshold_for(budget) for budget in BUDGETS]
    assert all(one is not None for one in thresholds)
    assert thresholds == sorted(thresholds, key=lambda one: -(one or 0.0))
    values = np.linspace(0.0, 2 * known.threshold, 200)
    recalls = BudgetRecall({("knocking", 1.0): values}).by_budget(known)
    shares = [recall for _, recall in sorted(recalls.items())]
    assert shares == sorted(shares)


@pytest.mark.parametrize("per_week", [0.2, 2.0, 5.0, 900.0])
def test_a_threshold_between_two_budgets_lies_between_their_thresholds(per_week: float) -> None:
    """A budget set in config.toml would get the threshold of another one."""
    known = calibration(120.0, 1.0)
    lower = max(budget for budget in BUDGETS if budget <= per_week)
    upper = min(budget for budget in BUDGETS if budget >= per_week)
    found = known.threshold_for(per_week)
    low, high = known.threshold_for(upper), known.threshold_for(lower)
    assert found is not None
    assert low is not None
    assert high is not None
    assert low <= found <= high


@pytest.mark.parametrize("per_week", [0.01, 20_000.0])
def test_no_threshold_is_made_up_outside_the_known_budgets(per_week: float) -> None:
    """A threshold far outside the table would be a guess."""
    assert calibration(120.0, 1.0).threshold_for(per_week) is None


def test_a_budget_without_support_is_named_with_one_that_detects() -> None:
    """Users would find out only when a fault is missed."""
    known = calibration(120.0, 1.0)
    assert known.provisional
    line = budget_line(known, {1.0: 0.0, 168.0: 0.2, 1000.0: 0.8, 10_000.0: 0.9})
    assert "do not support a budget of 1 false alarm a week" in line
    assert "none of the injected disturbances" in line
    assert "--false-alarms-per-week 1000" in line


def test_it_is_said_that_no_budget_detects_more() -> None:
    """A higher budget that costs false alarms and gains nothing would be advised."""
    known = calibration(120.0, 1.0)
    line = budget_line(known, {1.0: 0.1, 10_000.0: 0.12})
    assert "no higher budget detects more than 12%" in line


def test_a_supported_budget_has_no_line() -> None:
    """Every result would begin with a doubt."""
    known = calibration(120.0, 9_000.0)
    assert not known.provisional
    assert budget_line(known, {9_000.0: 1.0}) == ""
