"""Running hours and starts survive restarts, clocks that are set, and disks that fail."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

import pytest

from monitor.detection.operation import OperationChange, OperationStatus
from monitor.service.operation_record import OperationRecord
from tests.clocks import FakeClock

RUNNING, OFF, TRANSITION = (
    OperationStatus.RUNNING,
    OperationStatus.OFF,
    OperationStatus.TRANSITION,
)
DAY_S = 86_400.0


def change(status: OperationStatus, *, is_start: bool = False) -> OperationChange:
    return OperationChange(status, 0, 1, is_start)


def run(record: OperationRecord, clock: FakeClock, hours: float) -> None:
    """A start, and then hours of running."""
    record.changed(change(RUNNING, is_start=True))
    for _ in range(round(hours * 60)):
        clock.now_s += 60.0
        record.passed(60.0, RUNNING)


def totals(record: OperationRecord) -> tuple[float, int]:
    """Hours and starts since the bundle is in use."""
    payload = record.payload()
    assert payload is not None
    return payload["running_s"] / 3600, payload["starts"]


def today(record: OperationRecord) -> tuple[float, int]:
    """Hours and starts today."""
    payload = record.payload()
    assert payload is not None
    return payload["today"]["running_s"] / 3600, payload["today"]["starts"]


@pytest.fixture
def clock() -> FakeClock:
    """A clock in the first minutes of a day of local time."""
    clock = FakeClock()
    now = datetime.fromtimestamp(clock.unix_s()).astimezone()
    clock.now_s += DAY_S - now.hour * 3600 - now.minute * 60 - now.second + 60
    return clock


def test_nothing_is_published_before_the_state_is_known(clock: FakeClock) -> None:
    """A machine is shown as off although that is unknown."""
    assert OperationRecord(None, "a", clock).payload() is None


def test_only_running_counts(clock: FakeClock) -> None:
    """Hours grow while the machine is off or starting."""
    record = OperationRecord(None, "a", clock)
    for status in (OFF, TRANSITION, RUNNING, TRANSITION, OFF):
        record.changed(change(status, is_start=status is RUNNING))
        record.passed(1800.0, status)
    record.passed(1800.0, None)
    assert totals(record) == (0.5, 1)


def test_counts_survive_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    """Running hours begin again with each restart of the daemon."""
    path = tmp_path / "operation" / "pump.json"
    run(OperationRecord(path, "a", clock), clock, 2)
    again = OperationRecord(path, "a", clock)
    again.changed(change(RUNNING))
    assert totals(again) == pytest.approx((2, 1), abs=0.02)
    assert today(again) == totals(again)


def test_the_last_minute_is_kept_by_an_orderly_end(tmp_path: Path, clock: FakeClock) -> None:
    """Each reload loses up to a minute of running time."""
    path = tmp_path / "pump.json"
    record = OperationRecord(path, "a", clock)
    record.changed(change(RUNNING))
    record.passed(30.0, RUNNING)
    record.save()
    again = OperationRecord(path, "a", clock)
    again.changed(change(RUNNING))
    assert totals(again)[0] == pytest.approx(30 / 3600, abs=1e-6)


def test_a_new_bundle_begins_again_but_today_goes_on(tmp_path: Path, clock: FakeClock) -> None:
    """The hours of a new bundle contain those of the old one, or today's starts are lost."""
    path = tmp_path / "pump.json"
    run(OperationRecord(path, "a", clock), clock, 2)
    other = OperationRecord(path, "b", clock)
    other.changed(change(RUNNING))
    assert totals(other) == (0, 0)
    assert today(other) == pytest.approx((2, 1), abs=0.02)


def test_today_begins_at_midnight(clock: FakeClock) -> None:
    """Yesterday's starts are shown as today's."""
    record = OperationRecord(None, "a", clock)
    run(record, clock, 2)
    clock.now_s += DAY_S
    assert today(record) == (0, 0)
    run(record, clock, 1)
    assert today(record) == (1, 1)
    assert totals(record) == (3, 2)


@pytest.mark.parametrize("set_by_s", [3600.0, -600.0, 40 * DAY_S, -20_000 * DAY_S])
def test_a_clock_that_is_set_and_set_back_loses_nothing(clock: FakeClock, set_by_s: float) -> None:
    """A wrong date for a minute begins the counts of today again."""
    record = OperationRecord(None, "a", clock)
    run(record, clock, 2)
    clock.set_by_s = set_by_s
    run(record, clock, 1)
    clock.set_by_s = 0.0
    run(record, clock, 1)
    assert totals(record) == (4, 3)
    hours, starts = today(record)
    assert (hours, starts) == (4, 3) if abs(set_by_s) != 600.0 else (hours >= 3, starts >= 2)


def test_a_board_that_boots_in_1970_counts_for_today(tmp_path: Path, clock: FakeClock) -> None:
    """What ran before the network gave the time is missing today."""
    path = tmp_path / "pump.json"
    run(OperationRecord(path, "a", clock), clock, 2)
    clock.set_by_s = -clock.unix_s() + 60.0
    record = OperationRecord(path, "a", clock)
    run(record, clock, 1)
    clock.set_by_s = 0.0
    assert totals(record) == pytest.approx((3, 2), abs=0.02)
    assert today(record) == pytest.approx((3, 2), abs=0.02)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"bundle_sha256": "a", "running_s": NaN}',
        b'{"bundle_sha256": "a", "running_s": -1}',
        b'{"bundle_sha256": "a", "starts": "many"}',
        b'{"bundle_sha256": "a", "days": [1]}',
    ],
)
def test_a_broken_file_is_reported_and_replaced(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """A damaged file stops the machine, or nothing is counted any more."""
    path = tmp_path / "pump.json"
    path.write_bytes(content)
    record = OperationRecord(path, "a", clock)
    run(record, clock, 1)
    assert [one.getMessage() for one in caplog.records] == [
        f"{path}: running hours and starts: they begin again at 0: the file is damaged"
    ]
    again = OperationRecord(path, "a", clock)
    again.changed(change(RUNNING))
    assert totals(again)[1] == 1


def test_a_disk_that_cannot_be_written_is_reported_once(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A full or read-only disk stops the machine, or fills the log."""
    (tmp_path / "operation").write_text("a file where the folder should be")
    record = OperationRecord(tmp_path / "operation" / "pump.json", "a", clock)
    for _ in range(3):
        run(record, clock, 1)
    assert totals(record) == (3, 3)
    assert [one.levelno for one in caplog.records] == [logging.WARNING]


def test_the_number_of_days_is_limited(tmp_path: Path, clock: FakeClock) -> None:
    """The file grows without end."""
    path = tmp_path / "pump.json"
    record = OperationRecord(path, "a", clock)
    for _ in range(30):
        run(record, clock, 0.1)
        clock.now_s += DAY_S
    record.save()
    assert path.stat().st_size < 600


def test_the_time_off_is_that_since_the_machine_ran(clock: FakeClock) -> None:
    """Noise beside a machine that is off begins its time off again."""
    record = OperationRecord(None, "a", clock)
    for status, seconds in [(OFF, 100.0), (TRANSITION, 10.0), (OFF, 50.0)]:
        record.changed(change(status))
        record.passed(seconds, status)
    assert record.off_s == 150.0
    record.changed(change(RUNNING, is_start=True))
    assert record.off_s == 0.0


def test_the_time_off_goes_on_after_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    """A pump that must never stop is off for days, and each restart begins its time off again."""
    path = tmp_path / "m.json"
    record = OperationRecord(path, "a", clock)
    record.changed(change(OFF))
    clock.now_s += 61.0
    record.passed(100.0, OFF)  # killed after this
    again = OperationRecord(path, "another bundle", clock)
    assert again.off_s == 100.0
    again.changed(change(OFF))
    again.passed(20.0, OFF)
    assert again.off_s == 120.0
    again.changed(change(RUNNING))
    assert OperationRecord(path, "a", clock).off_s == 0.0
