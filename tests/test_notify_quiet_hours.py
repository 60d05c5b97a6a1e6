"""The hours of the day in which messages wait."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from time import tzset
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.notify.quiet_hours import QuietTime
from monitor.notify.wording import Wording

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = QuietTime(start=time(22), end=time(6), zone=BERLIN)
TIMES = st.times().map(lambda one: one.replace(microsecond=0))
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


def covers(quiet: QuietTime, at: str) -> bool:
    """Whether a time on the wall in Berlin is quiet."""
    return quiet.covers(datetime.fromisoformat(at).replace(tzinfo=BERLIN).timestamp())


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-23T21:59:59", False),
        ("2026-11-23T22:00:00", True),
        ("2026-11-24T05:59:59", True),
        ("2026-11-24T06:00:00", False),
        # Summer time ends and begins in these nights.
        ("2026-10-25T05:59:00", True),
        ("2026-10-25T06:00:00", False),
        ("2026-03-29T05:59:00", True),
        ("2026-03-29T06:00:00", False),
    ],
)
def test_a_night_begins_and_ends_by_the_clock_on_the_wall(at: str, expected: bool) -> None:
    """A phone would ring an hour too early for half of the year."""
    assert covers(NIGHT, at) is expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-27T23:00:00", True),  # Friday
        ("2026-11-28T05:00:00", True),  # the night that began on Friday
        ("2026-11-28T23:00:00", False),
        ("2026-11-29T05:00:00", False),
        ("2026-11-27T05:00:00", False),  # the night that began on Thursday
    ],
)
def test_days_are_those_on_which_the_night_begins(at: str, expected: bool) -> None:
    """A night of two days would be quiet for a half only."""
    friday = QuietTime(start=time(22), end=time(6), zone=BERLIN, days=frozenset({4}))
    assert covers(friday, at) is expected


def test_the_zone_of_the_computer_is_the_one_that_is_set_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who sets the zone after the installation would be woken at night until the next restart."""
    night = QuietTime(start=time(22), end=time(6))
    evening = datetime(2026, 11, 23, 22, 30, tzinfo=BERLIN)
    message = Wording(evening)
    with monkeypatch.context() as environment:
        environment.setenv("TZ", "UTC")
        assert not night.covers(evening.timestamp())
        assert "21:30 UTC" in message.test("phone").body
        environment.setenv("TZ", "Europe/Berlin")
        assert night.covers(evening.timestamp())
        assert "22:30 CET" in message.test("phone").body
    tzset()


@given(TIMES, TIMES, MOMENTS)
def test_every_moment_is_quiet_once(start: time, end: time, moment: datetime) -> None:
    """A moment could be in no quiet time and not outside of it."""
    if start == end:
        return
    inside = QuietTime(start=start, end=end, zone=UTC)
    outside = QuietTime(start=end, end=start, zone=UTC)
    unix_s = moment.timestamp()
    assert inside.covers(unix_s) != outside.covers(unix_s)


@given(TIMES, TIMES, MOMENTS)
def test_quiet_hours_end_within_a_day(start: time, end: time, moment: datetime) -> None:
    """Messages would wait for ever."""
    if start == end:
        return
    quiet = QuietTime(start=start, end=end, zone=BERLIN)
    local = datetime.combine(moment.astimezone(BERLIN).date() + timedelta(1), end, BERLIN)
    assert not quiet.covers(local.timestamp()) or local.fold == 1 or _is_skipped(local)


def _is_skipped(local: datetime) -> bool:
    """Whether the clock on the wall never shows this time, or shows it twice."""
    back = local.astimezone(UTC).astimezone(BERLIN)
    again = local.replace(fold=1)
    return back.replace(tzinfo=None) != local.replace(tzinfo=None) or (
        again.utcoffset() != local.utcoffset()
    )
