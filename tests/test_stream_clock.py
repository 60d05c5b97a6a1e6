"""The wall time of samples."""

from __future__ import annotations

import pytest

from monitor.domain import rfc3339
from monitor.service.stream_clock import StreamClock

START = 1_795_000_000.0


def test_time_is_the_start_plus_the_position() -> None:
    """Alerts would have the time of the computation, not of the sound."""
    clock = StreamClock()
    clock.observe(0.1, START + 0.1)
    clock.observe(0.2, START + 0.9)
    assert clock.unix_s(0.15) == pytest.approx(START + 0.15)


def test_a_fast_feed_keeps_its_start() -> None:
    """All events of a file that is piped in would have the same time."""
    clock = StreamClock()
    for second in range(1, 3601):
        clock.observe(float(second), START + second / 100)
    assert clock.unix_s(3600.0) == pytest.approx(START + 3600, abs=1.0)


def test_a_stream_that_stays_behind_gets_a_new_start() -> None:
    """After a pause of an hour that was not counted, every alert would be an hour early."""
    clock = StreamClock()
    clock.observe(1.0, START)
    for second in range(2, 20):
        clock.observe(float(second), START + 3599.0 + second)
    assert clock.unix_s(20.0) == START + 3599.0 + 20.0


def test_a_gap_gives_a_new_start_at_once() -> None:
    """The first alert after an outage would have a time before it."""
    clock = StreamClock()
    clock.observe(1.0, START)
    clock.observe(2.0, START + 3601.0, after_gap=True)
    assert clock.unix_s(2.0) == START + 3601.0


def test_a_busy_program_that_catches_up_changes_no_time() -> None:
    """After a busy phase of three seconds, alerts would have a late time for ten minutes."""
    clock = StreamClock()
    for tenth in range(1, 601):
        at_s = tenth / 10
        clock.observe(at_s, START + max(at_s, 33.0 if 30 < at_s < 33 else 0.0))
    assert clock.unix_s(60.0) == pytest.approx(START + 60, abs=1e-3)


@pytest.mark.parametrize("drift", [-1e-4, 1e-4])
def test_a_drifting_sampling_clock_is_followed(drift: float) -> None:
    """With a drift of 100 ppm, times would be wrong by a minute after a week."""
    clock = StreamClock()
    for second in range(7 * 86_400 // 10):
        now_s = second * 10.0
        clock.observe(now_s * (1 + drift), START + now_s + (second % 7) * 0.01)
    assert clock.unix_s(now_s * (1 + drift)) == pytest.approx(START + now_s, abs=0.2)


@pytest.mark.parametrize("step_s", [-7200.0, 7200.0])
def test_a_system_clock_that_is_set_is_followed(step_s: float) -> None:
    """A board without a battery clock would give alerts the time of its first, wrong guess."""
    clock = StreamClock()
    for second in range(1800):
        clock.observe(float(second), START + second + (step_s if second > 300 else 0.0))
    assert clock.unix_s(1799.0) == pytest.approx(START + 1799 + step_s, abs=0.2)


def test_no_time_before_the_first_block() -> None:
    """An alert with a time in 1970 would be sent."""
    with pytest.raises(ValueError, match="not begun"):
        StreamClock().unix_s(0.0)


def test_rfc3339_is_utc_with_milliseconds() -> None:
    """Subscribers would have to guess a time zone."""
    assert rfc3339(1_795_428_930.25) == "2026-11-23T10:15:30.250Z"
