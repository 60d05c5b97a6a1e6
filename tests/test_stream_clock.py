"""The time of samples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import SYSTEM_CLOCK, StepWatch, rfc3339
from monitor.service.stream_clock import StreamClock
from tests.clocks import START_UNIX_S as START
from tests.clocks import FakeClock


class Stream:
    """A stream whose blocks arrive when a test lets them."""

    def __init__(self) -> None:
        self.system = FakeClock()
        self.begun_s = self.system.now_s
        self.clock = StreamClock(self.system)

    def arrive(self, end_s: float, at_s: float, *, after_gap: bool = False) -> float:
        """A block that ends at ``end_s`` arrives ``at_s`` seconds after the beginning."""
        self.system.now_s = self.begun_s + at_s
        return self.clock.observe(end_s, after_gap=after_gap)


@pytest.fixture
def stream() -> Stream:
    return Stream()


def test_time_is_the_start_plus_the_position(stream: Stream) -> None:
    """Alerts would have the time of the computation, not of the sound."""
    stream.arrive(0.1, 0.1)
    stream.arrive(0.2, 0.9)
    assert stream.clock.unix_s(0.15) == pytest.approx(START + 0.15)


def test_a_fast_feed_ends_now_and_not_in_the_future(stream: Stream) -> None:
    """Alerts of a folder or of a file that is piped in would be minutes ahead."""
    for second in range(1, 3601):
        stream.arrive(float(second), second / 100)
    assert stream.clock.unix_s(3600.0) == pytest.approx(START + 36.0)
    assert stream.clock.unix_s(3590.0) == pytest.approx(START + 26.0)


def test_a_recording_has_its_own_time(stream: Stream) -> None:
    """The alerts of last night's recordings would have the time at which they are read."""
    stream.system.now_s += 100.0
    stream.clock.observe(60.0, recorded_start_unix_s=START - 86_400.0)
    assert stream.clock.unix_s(30.0) == START - 86_370.0
    stream.clock.observe(120.0, recorded_start_unix_s=START + 86_400.0)
    assert stream.clock.unix_s(90.0) == stream.system.unix_s()


@pytest.mark.parametrize(("speed", "counted"), [(1.0, 30.0), (20.0, 0.0)])
def test_sound_that_a_program_drops_is_counted(
    stream: Stream, speed: float, counted: float
) -> None:
    """A program whose pipe was full loses sound, and nobody would know."""
    lost_s = 0.0
    for second in range(1, 200):
        pause_s = 30.0 if second > 60 else 0.0
        lost_s += stream.arrive(float(second), second / speed + pause_s)
    assert lost_s == pytest.approx(counted)


def test_a_stream_that_stays_behind_gets_a_new_start(stream: Stream) -> None:
    """After a pause of an hour that was not counted, every alert would be an hour early."""
    stream.arrive(1.0, 1.0)
    for second in range(2, 20):
        stream.arrive(float(second), 3600.0 + second)
    assert stream.clock.unix_s(19.0) == START + 3600.0 + 19.0


def test_a_gap_gives_a_new_start_at_once(stream: Stream) -> None:
    """The first alert after an outage would have a time before it."""
    stream.arrive(1.0, 1.0)
    stream.arrive(2.0, 3601.0, after_gap=True)
    assert stream.clock.unix_s(2.0) == START + 3601.0


def test_a_busy_program_that_catches_up_changes_no_time(stream: Stream) -> None:
    """After a busy phase of three seconds, alerts would have a late time for ten minutes."""
    for tenth in range(1, 601):
        at_s = tenth / 10
        stream.arrive(at_s, max(at_s, 33.0 if 30 < at_s < 33 else 0.0))
    assert stream.clock.unix_s(60.0) == pytest.approx(START + 60, abs=1e-3)


@pytest.mark.parametrize("drift", [-1e-4, 1e-4])
def test_a_drifting_sampling_clock_is_followed(drift: float, stream: Stream) -> None:
    """With a drift of 100 ppm, times would be wrong by a minute after a week."""
    for second in range(7 * 86_400 // 10):
        now_s = second * 10.0
        stream.arrive(now_s * (1 + drift), now_s + (second % 7) * 0.01)
    assert stream.clock.unix_s(now_s * (1 + drift)) == pytest.approx(START + now_s, abs=0.2)


@given(
    steps=st.lists(st.tuples(st.floats(0.1, 500.0), st.floats(-1e8, 1e8)), min_size=1, max_size=8)
)
def test_a_system_clock_that_is_set_is_followed_at_once(steps: list[tuple[float, float]]) -> None:
    """A board without a battery would give alerts the time of its first, wrong guess."""
    stream, at_s = Stream(), 0.0
    for pause_s, step_s in steps:
        at_s += pause_s
        stream.arrive(at_s, at_s)
        stream.system.set_by_s += step_s
        now_unix_s = stream.system.unix_s()
        assert stream.clock.unix_s(at_s) == pytest.approx(now_unix_s, abs=1e-3)
        assert stream.clock.unix_s(at_s) <= now_unix_s
        assert stream.clock.unix_s(at_s + 5.0) <= now_unix_s


@given(steps=st.lists(st.floats(-1e8, 1e8), min_size=1, max_size=8))
def test_a_step_of_the_system_clock_is_noticed_once(steps: list[float]) -> None:
    """Times that were published before it would stay wrong."""
    clock = FakeClock()
    watch = StepWatch(clock)
    for step_s in steps:
        clock.now_s += 1.0
        assert watch.step_s() == 0.0
        clock.set_by_s += step_s
        noticed_s = watch.step_s()
        assert noticed_s == (pytest.approx(step_s, abs=1e-3) if abs(step_s) > 1.01 else noticed_s)
        assert abs(step_s) > 0.99 or noticed_s == 0.0
        assert watch.step_s() == 0.0


def test_the_clock_of_this_computer_does_not_go_back() -> None:
    """Ages would be negative."""
    assert SYSTEM_CLOCK.steady_s() <= SYSTEM_CLOCK.steady_s()
    assert SYSTEM_CLOCK.unix_at(SYSTEM_CLOCK.steady_s() + 100.0) <= SYSTEM_CLOCK.unix_s()
    assert SYSTEM_CLOCK.boot_id


def test_no_time_before_the_first_block() -> None:
    """An alert with a time in 1970 would be sent."""
    with pytest.raises(ValueError, match="not begun"):
        StreamClock().unix_s(0.0)


def test_rfc3339_is_utc_with_milliseconds() -> None:
    """Subscribers would have to guess a time zone."""
    assert rfc3339(1_795_428_930.25) == "2026-11-23T10:15:30.250Z"
