"""A machine that starts too often, or runs for too long, gives a warning with figures."""

from __future__ import annotations

import pytest

from monitor.detection.duty_cycle import DutyWatch, duty_of
from monitor.detection.operation import OperationStatus
from monitor.detection.settings import OperationSettings
from monitor.model.operation import HealthyDuty

HOUR_S = 3600.0
DUTY = HealthyDuty(most_starts_per_h=6, least_running_share=0.2, most_running_share=0.6)


def cycle(watch: DutyWatch, hours: float, starts_per_h: float, share: float) -> None:
    """Let the machine start and stop regularly."""
    period_s = HOUR_S / starts_per_h
    for _ in range(round(hours * starts_per_h)):
        watch.started()
        watch.passed(share * period_s, OperationStatus.RUNNING)
        watch.passed((1 - share) * period_s, OperationStatus.OFF)


def test_a_healthy_cycle_gives_no_warning() -> None:
    """A healthy machine has a warning."""
    watch = DutyWatch(DUTY, 4 * HOUR_S)
    cycle(watch, 48, 5, 0.4)
    assert watch.detail == ""


@pytest.mark.parametrize(
    ("starts_per_h", "share", "expected"),
    [
        (12, 0.4, "12 starts per hour, healthy: at most 6"),
        (5, 0.8, "running 80% of the time, healthy: at most 60%"),
        (5, 0.1, "running 10% of the time, healthy: at least 20%"),
    ],
)
def test_what_is_outside_is_named_and_ends(
    starts_per_h: float, share: float, expected: str
) -> None:
    """A leaking compressor is not reported, or the warning stays after the repair."""
    watch = DutyWatch(DUTY, 4 * HOUR_S)
    cycle(watch, 5, starts_per_h, share)
    assert watch.detail == f"over the last 4 h: {expected}"
    cycle(watch, 5, 5, 0.4)
    assert watch.detail == ""


def test_a_short_time_is_not_judged() -> None:
    """Three starts after a restart of the daemon are a warning."""
    watch = DutyWatch(DUTY, 4 * HOUR_S)
    cycle(watch, 3.5, 60, 0.9)
    watch.passed(100 * HOUR_S, None)  # not observed
    assert watch.detail == ""


def test_nothing_is_judged_without_a_range() -> None:
    """A bundle without figures gives warnings."""
    watch = DutyWatch(HealthyDuty(), HOUR_S)
    cycle(watch, 5, 100, 1.0)
    assert watch.detail == ""


def test_settings_replace_single_values_of_the_bundle() -> None:
    """One key of the configuration removes the other limits."""
    settings = OperationSettings(most_starts_per_h=9)
    assert duty_of(settings, DUTY) == DUTY.model_copy(update={"most_starts_per_h": 9.0})
    assert duty_of(OperationSettings(), None) == HealthyDuty()
