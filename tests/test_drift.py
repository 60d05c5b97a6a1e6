"""Drift ignores faults, and a shift of the level is never reported as 0 dB."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detection.drift import DriftWatch, LevelWatch
from monitor.domain import Score
from monitor.model.bundle import Bundle
from monitor.model.manifest import Calibration
from tests.bundles import SPEC

HOP_S = SPEC.window_hop_s
NEAR_ALERT = 30


@pytest.fixture(scope="module")
def calibration(bundle: Bundle) -> Calibration:
    return bundle.calibration


def score(value: float = 0.0, level_db: float = 0.0) -> Score:
    return Score(value, 1.0, 0, 1, np.zeros(4, np.float32), level_db)


def drift_watch(calibration: Calibration) -> DriftWatch:
    return DriftWatch(
        calibration, HOP_S, clear_threshold=clear_threshold(calibration), near_alert=NEAR_ALERT
    )


def clear_threshold(calibration: Calibration) -> float:
    return calibration.score_median + 5.0 * calibration.score_deviation


def deviations(calibration: Calibration, number: float) -> Score:
    """A score so many healthy deviations above the median."""
    return score(calibration.score_median + number * calibration.score_deviation)


def test_a_lasting_rise_is_drift(calibration: Calibration) -> None:
    """A slow change would go unnoticed until it is a fault."""
    watch = drift_watch(calibration)
    for _ in range(1000):
        watch.push(deviations(calibration, 2.0), raised=False)
    assert watch.drifting


def test_scores_near_an_alert_are_not_drift(calibration: Calibration) -> None:
    """Every alert would add to the drift of a machine that is healthy between its faults."""
    watch = drift_watch(calibration)
    for _ in range(50):
        for value, raised, times in (
            (0.0, False, 100),
            (4.0, False, NEAR_ALERT),
            (9.0, True, 50),
            (4.0, False, NEAR_ALERT),
        ):
            for _ in range(times):
                watch.push(deviations(calibration, value), raised=raised)
    assert not watch.drifting


def test_scores_above_the_clearing_threshold_are_not_drift(calibration: Calibration) -> None:
    """A fault that is too short for an alert would be reported as drift."""
    watch = drift_watch(calibration)
    for _ in range(1000):
        watch.push(deviations(calibration, 5.1), raised=False)
    assert not watch.drifting


def test_a_shift_is_described_by_its_direction(calibration: Calibration) -> None:
    """A technician would turn the gain in the wrong direction."""
    for level_db, detail in (
        (calibration.level_high_db + 5.0, "5 dB louder than any healthy recording"),
        (calibration.level_low_db - 5.0, "5 dB quieter than any healthy recording"),
        (calibration.level_low_db - 1.9, ""),
    ):
        watch = LevelWatch(calibration, HOP_S)
        watch.push(score(level_db=level_db))
        assert watch.detail == detail


@pytest.mark.parametrize("shift_db", [6.0, -6.0])
def test_a_shift_that_ends_is_never_reported_as_0_db(
    calibration: Calibration, shift_db: float
) -> None:
    """A state would report that the level is 0 dB too loud."""
    border_db = calibration.level_high_db if shift_db > 0 else calibration.level_low_db
    watch, details = LevelWatch(calibration, HOP_S), []
    for step in range(600):
        watch.push(score(level_db=border_db + shift_db * (1.0 - step / 600)))
        details.append(watch.detail)
    assert details[0].startswith("6 dB")
    assert details[-1] == ""
    assert not [detail for detail in details if detail.startswith("0 dB")]
