"""The history stays within its bytes and its age, and nothing else is deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.history.file import HistoryFile, database_bytes
from monitor.history.pending import Batch
from monitor.history.reader import HistoryReader
from monitor.history.records import Event
from monitor.history.retention import Limits
from monitor.history.tally import Tally
from tests.clocks import START_UNIX_S, FakeClock
from tests.histories import START, alert, event, tally

DAY = 1440
DAY_S = 86_400.0
TEN_MB = 10e6
MINUTE = tally(0.5, 0.9)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite3"


class Kept:
    """A history whose upkeep is done after each write, and whose clock a test sets."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.clock = FakeClock()
        self.file = HistoryFile(path, limits, self.clock)
        self.file.monitored = frozenset({"m"})
        self.reader = HistoryReader(path)

    def write(self, minutes: dict[tuple[str, int], Tally], *events: Event) -> None:
        rest, trouble = self.file.write(Batch(minutes, list(events)))
        assert (len(rest), trouble) == (0, "")
        self.upkeep()

    def upkeep(self) -> None:
        while self.file.upkeep_due_s == 0.0:
            self.file.upkeep()

    def pass_time(self, seconds: float) -> None:
        """Time passes, and what is due every hour is done."""
        self.clock.now_s += seconds
        self.file._expiry_due_s = self.file.upkeep_due_s = 0.0
        self.upkeep()

    def days(self, machine: str) -> list[int]:
        """The days that are left, counted from the beginning."""
        rows = self.reader.overview(machine, 0, 50_000 * DAY_S, 50_000)
        assert all(one.minutes == DAY for one in rows)
        return [one.minute // DAY - START // DAY for one in rows]


@pytest.fixture
def kept(path: Path) -> Iterator[Kept]:
    kept = Kept(path, Limits(max_bytes=TEN_MB, max_age_s=400 * DAY_S))
    yield kept
    kept.file.close()


def test_the_file_never_exceeds_its_bytes(kept: Kept, path: Path) -> None:
    """The history would fill the disk."""
    largest, number = 0, 0
    for hour in range(24 * 20):
        start = START + 60 * hour
        minutes = {
            (f"m{machine}", start + minute): MINUTE for machine in range(10) for minute in range(60)
        }
        events = [event("state", 60.0 * (start + minute), value="ok") for minute in range(0, 60, 5)]
        number += len(minutes)
        kept.write(minutes, *events, alert("raised", 60.0 * start, name=f"a{hour}"))
        largest = max(largest, database_bytes(path))
    assert largest <= TEN_MB
    assert largest > 0.7 * TEN_MB
    left = kept.reader.minutes("m3", 0, 4e9)
    assert left[-1].minute == START + 60 * 24 * 20 - 1
    assert len(left) > 5 * DAY
    assert [one.minute for one in left] == list(range(left[0].minute, left[-1].minute + 1))
    hours = kept.reader.overview("m3", 60.0 * START, 60.0 * (START + 21 * DAY), 1000)
    assert sum(one.n_scores for one in hours) == number / 10 * 2  # older hours are still there
    assert len(kept.reader.alerts(limit=9999)) == 24 * 20


def test_a_smaller_limit_shrinks_the_file(kept: Kept, path: Path) -> None:
    """A changed limit would have no effect until the file is deleted."""
    kept.file.limits = Limits(max_bytes=40e6)
    for day in range(16):
        minutes = {
            (f"m{machine}", START + day * DAY + minute): MINUTE
            for machine in range(10)
            for minute in range(DAY)
        }
        kept.write(minutes)
    assert database_bytes(path) > 12e6
    kept.file.limits = Limits(max_bytes=TEN_MB)
    kept.write({("m0", START + 16 * DAY): tally(0.5)})
    assert database_bytes(path) <= TEN_MB


def test_many_events_are_limited_too(kept: Kept, path: Path) -> None:
    """A machine whose state changes every second would fill the disk."""
    largest = 0
    for number in range(300):
        at_s = START_UNIX_S + 3600 * number
        events = [event("state", at_s + one, value="no_signal") for one in range(400)]
        kept.write({("m", int(at_s) // 60): tally(0.5)}, *events)
        largest = max(largest, database_bytes(path))
    assert largest <= TEN_MB
    newest, *_ = kept.reader.events()
    assert newest.at_unix_s == START_UNIX_S + 3600 * 299 + 399


def a_year(first_day: int, days: int, machine: str = "m") -> dict[tuple[str, int], Tally]:
    return {(machine, START + (first_day + day) * DAY): tally(0.5) for day in range(days)}


def test_what_is_too_old_is_deleted(kept: Kept) -> None:
    """The privacy page states how long values are kept."""
    kept.file.limits = Limits(max_age_s=30 * DAY_S)
    kept.file.monitored = frozenset({"m", "idle"})
    kept.write(a_year(-100, 101), alert("raised", START_UNIX_S - 60 * DAY_S, name="old"))
    kept.write({}, alert("raised", START_UNIX_S - 10 * DAY_S, name="new"))
    assert kept.days("m") == list(range(-100, 1))  # the clock is not trusted yet
    kept.pass_time(HistoryFile.TRUSTED_AFTER_S)
    days = kept.days("m")
    assert (days[0] in {-30, -29}, days[-1]) == (True, 0)
    assert [one.alert_id for one in kept.reader.alerts()] == ["new"]
    assert len(kept.reader.events()) == 1


def test_an_alert_that_is_open_is_kept(kept: Kept) -> None:
    """A fault that was present before the clock was corrected would have no page after 6 hours."""
    kept.file.limits = Limits(max_age_s=30 * DAY_S)
    kept.write(a_year(-1, 2), alert("raised", 60.0, name="lost"), alert("raised", 100.0))
    kept.pass_time(HistoryFile.TRUSTED_AFTER_S)
    assert [one.alert_id for one in kept.reader.alerts()] == ["a"]
    assert [one.kind for one in kept.reader.events()] == ["raised"]
    kept.write({}, alert("cleared", kept.clock.unix_s()))
    kept.pass_time(40 * DAY_S)
    kept.write(a_year(40, 1))
    kept.pass_time(3600.0)
    assert kept.reader.alerts() == []


def test_recordings_of_earlier_years_are_kept(kept: Kept) -> None:
    """The history of a folder with old recordings would be empty."""
    kept.file.limits = Limits(max_age_s=30 * DAY_S)
    kept.write(a_year(-2000, 100), event("state", START_UNIX_S - 1950 * DAY_S, value="ok"))
    kept.pass_time(HistoryFile.TRUSTED_AFTER_S)
    days = kept.days("m")
    assert (len(days) in {30, 31}, days[-1]) == (True, -1901)
    kept.file.monitored = frozenset()
    kept.pass_time(3600.0)
    assert kept.reader.machines() == []
    assert kept.reader.events() == []
    kept.write(a_year(0, 1))  # the same machine again
    assert kept.days("m") == [0]


def test_a_clock_that_jumps_ahead_deletes_nothing(kept: Kept) -> None:
    """A board without a battery would delete its history when its clock is wrong for an hour."""
    kept.write(a_year(-50, 51))
    kept.pass_time(HistoryFile.TRUSTED_AFTER_S)
    kept.clock.set_by_s = 3000 * DAY_S
    kept.pass_time(3600.0)
    kept.write(a_year(3000, 1))
    kept.clock.set_by_s = 0.0
    kept.pass_time(3600.0)
    assert kept.days("m") == [*range(-50, 1), 3000]


def test_deleting_leaves_time_for_alerts(kept: Kept) -> None:
    """An alert would wait until a whole year is deleted."""
    kept.file.limits = Limits(max_age_s=30 * DAY_S)
    minutes = {("m", START - 60 * DAY + minute): tally(0.5) for minute in range(50_000)}
    kept.write(minutes)
    kept.clock.now_s += HistoryFile.TRUSTED_AFTER_S + 60 * DAY_S
    kept.file.monitored = frozenset()
    kept.file._expiry_due_s = kept.file.upkeep_due_s = 0.0
    steps = 0
    while kept.file.upkeep_due_s == 0.0:
        kept.file.upkeep()
        steps += 1
    assert steps >= 3
    assert kept.reader.machines() == []


@pytest.mark.parametrize("set_by_s", [0.0, 3600.0, -1.0, -40.0, -3600.0])
def test_a_new_file_never_continues_at_a_position_of_another_one(
    kept: Kept, path: Path, set_by_s: float
) -> None:
    """A reader would not notice that it is another file, and would miss its first events."""
    batches = []
    for _ in range(2):
        for number in range(50):  # more events than seconds
            kept.write({}, event("state", START_UNIX_S + number))
        batches.append([one.position for one in kept.reader.events(newest_first=False)])
        kept.file.close()
        path.unlink()
        kept.file = HistoryFile(path, Limits(), kept.clock)
        kept.clock.now_s += 10.0
        kept.clock.set_by_s += set_by_s
    before, after = batches
    assert after[0] > before[-1] or after[-1] < before[0]
