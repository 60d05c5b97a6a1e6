"""The recall of injected faults by budget, and the line about a budget without support."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monitor.calibration.channels import ChannelKey
from monitor.calibration.threshold import BUDGETS, HealthyRecording, calibrate
from monitor.detection.persistence import Persistence
from monitor.domain import DoubleArray
from monitor.model.channel_calibration import ChannelBudget, ChannelCalibration
from monitor.model.manifest import Calibration
from training.sound.budget_recall import BudgetRecall, budget_line
from training.sound.injection import Fault, InjectedFaults

SHORT = ChannelKey("distance", 2.08, 0.5)
PEAKS = ChannelKey("lines", 2.08, 0.5)
LONG = ChannelKey("lines", 16.9, 2.0)
LONGEST = ChannelKey("distance", 901.0, 110.0)
KEYS = (SHORT, PEAKS, LONG, LONGEST)


@lru_cache
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


def faults_of(
    values: dict[Fault, DoubleArray],
    keys: tuple[ChannelKey, ...] = KEYS,
    healthy: DoubleArray | None = None,
) -> InjectedFaults:
    none = np.zeros((1, len(keys)))
    return InjectedFaults(keys, values, none if healthy is None else healthy, of_samples=True)


def test_no_budget_is_advised_at_which_healthy_sound_raises_alerts() -> None:
    """A budget is advised whose alerts are false."""
    known = calibration(120.0, 1.0)
    limit = known.threshold_for(50.0)
    assert limit is not None
    values = np.linspace(0.0, 2 * known.threshold, 200)[:, None]
    faults = faults_of({("rub", "-6 dB"): values}, (SHORT,), np.array([[0.99 * limit]]))
    useful = BudgetRecall(faults, {}).by_useful_budget(known)
    assert max(useful) == 50.0
    hopeless = faults_of({("rub", "-6 dB"): values}, (SHORT,), np.array([[1e9]]))
    assert list(BudgetRecall(hopeless, {}).by_useful_budget(known)) == [1.0]


def test_a_higher_budget_has_a_lower_threshold_and_never_detects_less() -> None:
    """The table of budgets would advise a budget that detects less."""
    known = calibration(120.0, 1.0)
    thresholds = [known.threshold_for(budget) for budget in BUDGETS]
    assert all(one is not None for one in thresholds)
    assert thresholds == sorted(thresholds, key=lambda one: -(one or 0.0))
    values = np.linspace(0.0, 2 * known.threshold, 200)
    faults = faults_of({("knocking", "size 1"): values[:, None]}, (SHORT,))
    recalls = BudgetRecall(faults, {}).by_budget(known)
    shares = [recall for _, recall in sorted(recalls.items())]
    assert shares == sorted(shares)


def with_channels(known: Calibration, *thresholds: float) -> Calibration:
    """The calibration with the channels of ``KEYS``, their thresholds the same at each budget."""
    channels = [
        ChannelCalibration(
            evidence=key.evidence,
            span_s=key.span_s,
            step_s=key.step_s,
            score_median=1.0,
            budgets=tuple(
                ChannelBudget(false_alarms_per_week=budget, threshold=threshold)
                for budget in BUDGETS
            ),
        )
        for key, threshold in zip(KEYS[1:], thresholds, strict=False)
    ]
    return known.model_copy(update={"channels": tuple(channels)})


@given(
    arrays(np.float64, (6, 4), elements=st.floats(0.0, 20.0) | st.just(np.nan)),
    st.lists(st.floats(0.5, 20.0), min_size=3, max_size=3),
)
def test_a_longer_scale_never_detects_less(values: DoubleArray, thresholds: list[float]) -> None:
    """A fault that raises an alert within 2 s would be missing among those within 15 min."""
    known = with_channels(calibration(120.0, 1.0), *thresholds)
    recall = BudgetRecall(faults_of({("rub", "-6 dB"): values}), {})
    shares = recall.by_span(known)["rub"]["-6 dB"]
    assert list(shares) == ["2 s", "15 s", "15 min"]
    assert list(shares.values()) == sorted(shares.values())
    limits = [known.threshold, *thresholds]
    for span, columns in (("2 s", (0, 1)), ("15 s", (0, 1, 2)), ("15 min", range(4))):
        raised = sum(any(row[c] > limits[c] for c in columns) for row in values.tolist())
        assert shares[span] == pytest.approx(raised / len(values))
    assert recall.by_budget(known)[1.0] == pytest.approx(shares["15 min"])


def test_a_channel_without_a_threshold_detects_nothing() -> None:
    """Faults would be counted that raise no alert."""
    known = calibration(120.0, 1.0)
    values = np.array([[0.0, 1e9, 1e9, 1e9]])
    recall = BudgetRecall(faults_of({("rub", "-6 dB"): values}), {})
    assert recall.by_kind(known) == {"rub": {"-6 dB": 0.0}}
    assert recall.by_kind(with_channels(known, 5.0)) == {"rub": {"-6 dB": 1.0}}


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
    assert "none of the injected faults" in line
    assert "--false-alarms-per-week 1000" in line


def test_it_is_said_that_no_budget_detects_more() -> None:
    """A higher budget that costs false alarms and gains nothing would be advised."""
    known = calibration(120.0, 1.0)
    line = budget_line(known, {1.0: 0.1, 10_000.0: 0.12})
    assert "at which healthy sound raises no alert detects more than 12%" in line


def test_a_supported_budget_has_no_line() -> None:
    """Every result would begin with a doubt."""
    known = calibration(120.0, 9_000.0)
    assert not known.provisional
    assert budget_line(known, {9_000.0: 1.0}) == ""
