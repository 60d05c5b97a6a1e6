"""Scores to decisions: what lasts is raised once, and cleared once it is over."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.detection.detector import Detector
from monitor.detection.hysteresis import DetectorRule
from monitor.detection.persistence import Persistence
from monitor.detection.persistent_scores import persistent_scores
from monitor.domain import Decision, Score

HOP = 4096
RATE_HZ = 16_000


def rule(required: int = 8, out_of: int = 10, *, clear: int = 5, quiet: int = 0) -> DetectorRule:
    return DetectorRule(
        threshold=10.0,
        clear_threshold=8.0,
        false_alarms_per_week=1.0,
        persistence=Persistence(required, out_of),
        clearing=Persistence(max(1, clear - 1), clear),
        quiet_samples=quiet * HOP,
        update_samples=50 * HOP,
    )


def decisions(values: list[float], detector: Detector) -> list[Decision]:
    bands = np.zeros(4, np.float32)
    made = [
        detector.push(Score(value, 1.0, index * HOP, index * HOP + 16 * HOP, bands))
        for index, value in enumerate(values)
    ]
    return [decision for decision in made if decision is not None]


def test_a_lasting_fault_is_raised_once_and_cleared_once() -> None:
    """A fault gives two alerts, or its end is not reported."""
    values = [1.0] * 20 + [20.0] * 30 + [1.0] * 20
    raised, cleared = decisions(values, Detector(rule()))
    assert (raised.kind, cleared.kind) == ("raised", "cleared")
    assert raised.started_sample == cleared.started_sample == 20 * HOP + 16 * HOP
    assert raised.at_sample == (20 + 7) * HOP + 16 * HOP
    assert cleared.at_sample == (50 + 3) * HOP + 16 * HOP
    assert cleared.peak_score == 20.0


def test_a_short_loud_event_raises_nothing() -> None:
    """A slammed door raises an alert."""
    assert decisions([1.0] * 20 + [1e6] * 7 + [1.0] * 50, Detector(rule())) == []


def test_scores_between_the_two_thresholds_neither_raise_nor_clear() -> None:
    """An alert is raised and cleared again and again while the score is near the threshold."""
    assert decisions([9.0] * 100, Detector(rule())) == []
    kinds = [d.kind for d in decisions([20.0] * 10 + [9.0] * 30, Detector(rule()))]
    assert kinds == ["raised"]


def test_a_single_high_score_does_not_hold_up_the_clearing() -> None:
    """An alert is never cleared because a healthy score sometimes reaches the threshold."""
    values = [20.0] * 10 + [1.0, 1.0, 1.0, 11.0] * 10
    kinds = [(d.kind, d.at_sample // HOP - 16) for d in decisions(values, Detector(rule()))]
    assert kinds == [("raised", 7), ("cleared", 14)]


def test_a_fault_began_with_the_scores_that_lasted() -> None:
    """A single high score long before is reported as the start of the fault."""
    values = [1.0] * 5 + [20.0] + [1.0] * 9 + [20.0] + [1.0] * 9 + [20.0] * 10
    (raised,) = decisions(values, Detector(rule()))
    assert raised.started_sample == 25 * HOP + 16 * HOP


def test_an_open_alert_is_updated_at_its_interval() -> None:
    """A fault that lasts for days is reported only once, or too often."""
    kinds = [d.kind for d in decisions([20.0] * 160, Detector(rule()))]
    assert kinds == ["raised", "updated", "updated", "updated"]


def test_quiet_time_delays_the_next_alert_and_does_not_suppress_it() -> None:
    """A fault that returns at once is not reported, or is reported without a pause."""
    values = [20.0] * 10 + [1.0] * 6 + [20.0] * 60
    kinds = [(d.kind, d.at_sample // HOP - 16) for d in decisions(values, Detector(rule(quiet=40)))]
    assert kinds == [("raised", 7), ("cleared", 13), ("raised", 53)]


def test_a_gap_drops_pending_scores_and_keeps_an_open_alert() -> None:
    """Sound from both sides of a gap adds up to a fault, or a gap clears an alert."""
    detector = Detector(rule())
    assert decisions([20.0] * 7, detector) == []
    detector.gap()
    assert decisions([20.0] * 7, detector) == []
    assert [d.kind for d in decisions([20.0], detector)] == ["raised"]
    detector.gap()
    assert detector.raised


def test_an_alert_from_before_a_restart_is_cleared() -> None:
    """An alert from before a crash is never cleared."""
    detector = Detector(rule())
    detector.resume(peak_score=30.0)
    (cleared,) = decisions([1.0] * 10, detector)
    assert (cleared.kind, cleared.peak_score) == ("cleared", 30.0)


@given(
    values=st.lists(st.floats(0, 20), min_size=12, max_size=80),
    required=st.integers(1, 6),
    extra=st.integers(0, 6),
)
def test_raising_means_the_persistent_score_passed_the_threshold(
    values: list[float], required: int, extra: int
) -> None:
    """Calibration sets the threshold for another rule than that of the detector."""
    persistence = Persistence(required, required + extra)
    detector = Detector(rule(required, required + extra))
    kinds = [d.kind for d in decisions(values, detector)]
    passed = bool((persistent_scores(np.array(values), persistence) > 10.0).any())
    warm_up = sum(value > 10.0 for value in values[: persistence.out_of]) >= required
    assert ("raised" in kinds) == (passed or warm_up)
