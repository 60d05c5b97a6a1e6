"""The actions of operators, on good and bad disks."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from monitor.clock import Clock
from monitor.control.mute import Mute
from monitor.control.operator_log import OperatorLog
from monitor.control.operator_store import Entry, KnownAlert
from tests.clocks import FakeClock
from tests.disks import fill, small_disk_at


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "operators.sqlite3"


def mute(clock: Clock, machine: str = "pump-7") -> Mute:
    return Mute(
        machine,
        3600.0,
        clock.now(),
        note="oil\nchange",
        by="anna",
        alerts=2,
        held="{}",
        began=clock.now(),
    )


def entries(path: Path) -> list[tuple[str, ...]]:
    """User, action, machine, alert, value and note of every entry."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            "SELECT user, action, machine, alert_id, value, note FROM entries ORDER BY position"
        ).fetchall()


def test_everything_survives_a_restart(path: Path) -> None:
    """A restart would forget mutes, acknowledgements and labels."""
    clock = FakeClock()
    log = OperatorLog(path, clock)
    kept = mute(clock)
    log.put_mute(kept)
    log.put_mute(mute(clock, "fan-2"))
    log.drop_mute("fan-2")
    log.put_alert(KnownAlert("a1", "pump-7", acknowledged=True, label="sensor"))
    log.add(Entry(clock.now(), "anna", "label", "pump-7", "a1", "sensor", "loose cable"))
    log.flush()
    log._disconnect()  # as after a kill
    again = OperatorLog(path, clock)
    assert again.mutes == {"pump-7": kept}
    assert again.alerts == {"a1": KnownAlert("a1", "pump-7", acknowledged=True, label="sensor")}
    assert entries(path) == [("anna", "label", "pump-7", "a1", "sensor", "loose cable")]
    again.drop_mute("pump-7")
    again.close()
    assert OperatorLog(path, clock).mutes == {}


def test_the_oldest_is_forgotten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file would grow until the disk is full."""
    monkeypatch.setattr(OperatorLog, "MOST_ALERTS", 3)
    monkeypatch.setattr(OperatorLog, "MOST_ENTRIES", 4)
    log = OperatorLog(path)
    for number in range(10):
        log.put_alert(KnownAlert(f"a{number}", "m"))
        log.add(Entry(log.clock.now(), "anna", "acknowledge", "m", f"a{number}"))
        log.flush()
    log.close()
    assert list(OperatorLog(path).alerts) == ["a7", "a8", "a9"]
    assert [row[3] for row in entries(path)] == ["a6", "a7", "a8", "a9"]


@pytest.mark.parametrize("content", [b"not a database at all" * 1000, b"\0" * 8192, b"SQLite"])
def test_a_damaged_file_is_replaced(path: Path, content: bytes) -> None:
    """A damaged file would stop the daemon, or mutes would never be written again."""
    path.parent.mkdir()
    path.write_bytes(content)
    log = OperatorLog(path)
    log.put_mute(mute(log.clock))
    log.flush_if_due()
    log.flush()
    assert log.trouble == ""
    assert "pump-7" in OperatorLog(path).mutes


def test_a_file_that_is_damaged_while_open(path: Path) -> None:
    """What is in memory would be lost with the file."""
    log = OperatorLog(path)
    log.put_mute(mute(log.clock))
    log.flush()
    log._disconnect()
    path.write_bytes(os.urandom(20_000))
    log.put_alert(KnownAlert("a1", "m"))
    log.flush()
    log.flush()
    assert log.trouble == ""
    again = OperatorLog(path)
    assert ("pump-7" in again.mutes, "a1" in again.alerts) == (True, True)
    assert path.with_name("operators.sqlite3.damaged").exists()


def test_a_file_of_a_later_version_stays_as_it_is(path: Path) -> None:
    """An older program would destroy what a newer one wrote."""
    OperatorLog(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    log = OperatorLog(path)
    assert "later version" in log.trouble
    log.put_mute(mute(log.clock))
    log.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM mutes").fetchone() == (0,)


def test_a_full_disk_keeps_everything_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A mute would be refused or lost, or the log would be full of the same line."""
    with small_disk_at(tmp_path / "disk") as folder:
        path = folder / "operators.sqlite3"
        log = OperatorLog(path)
        filler = fill(folder)
        for number in range(200):
            log.put_mute(mute(log.clock, f"m{number}"))
            log.add(Entry(log.clock.now(), "anna", "mute", f"m{number}", note="x" * 500))
        log.flush()
        assert "full" in log.trouble
        for _ in range(3):
            log._next_try_s = 0.0
            log.flush_if_due()
            assert "full" in log.trouble
        assert len(caplog.records) == 1
        filler.unlink()
        log._next_try_s = 0.0
        log.flush_if_due()
        assert log.trouble == ""
        assert len(caplog.records) == 2
        assert len(OperatorLog(path).mutes) == 200
        log.close()


def test_a_disk_that_is_mounted_late(path: Path) -> None:
    """A mute from before the start would be lost because its disk comes later."""
    log = OperatorLog(path)
    log.put_mute(mute(log.clock))
    log.close()
    aside = path.with_name("aside")
    path.rename(aside)
    path.mkdir()  # the file cannot be opened
    log = OperatorLog(path)
    assert log.trouble != ""
    log.put_mute(mute(log.clock, "fan-2"))
    log.flush()
    path.rmdir()
    aside.rename(path)
    log._next_try_s = 0.0
    log.flush_if_due()
    assert log.trouble == ""
    assert set(log.mutes) == {"pump-7", "fan-2"}
    assert set(OperatorLog(path).mutes) == {"pump-7", "fan-2"}


def test_a_file_that_is_deleted_is_made_again(path: Path) -> None:
    """After somebody deletes the state, mutes would no longer be written."""
    log = OperatorLog(path)
    log.put_mute(mute(log.clock))
    log.flush()
    path.unlink()
    log.put_alert(KnownAlert("a1", "m"))
    log.flush()
    again = OperatorLog(path)
    assert ("pump-7" in again.mutes, "a1" in again.alerts) == (True, True)


@pytest.mark.parametrize("boots", [("boot-1", "boot-1"), ("", ""), ("boot-1", "boot-2")])
def test_a_mute_never_ends_early(boots: tuple[str, str]) -> None:
    """A mute would end while somebody still works on the machine."""
    clock = FakeClock(boots[0])
    one = mute(clock)
    assert one.remaining_s(clock) == 3600.0
    clock.now_s += 600.0
    assert one.remaining_s(clock) == 3000.0
    one.refresh(clock)
    clock.reboot(boots[1])
    assert one.remaining_s(clock) == 2995.0
