"""The outbox on damaged, full, missing and read-only disks."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.errors import BadInputError, MissingInputError
from monitor.outbox.queue import Outbox
from monitor.outbox.reader import read_outbox
from monitor.outbox.waiting import WaitingAlerts
from tests.alert_drafts import draft
from tests.clocks import FakeClock
from tests.disks import fill, folder_in_memory, small_disk_at
from tests.waiting import wait_for

_JUMPED = 1_700_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite3"


def _spoil_index(path: Path) -> None:
    """Overwrite an index page of the file; the rows stay readable."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'alerts_by_kind'"
        ).fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)


class TestBrokenDisk:
    """A disk or file that fails while or before it is used."""

    def test_overwritten_while_running(self, path: Path) -> None:
        """A damaged file loses the alerts in memory, or numbers start again."""
        with Outbox(path) as outbox:
            alerts = [outbox.append(draft("raised")), outbox.append(draft("updated"))]
            path.write_bytes(os.urandom(path.stat().st_size))
            path.with_name(path.name + "-wal").write_bytes(b"")
            alerts += [outbox.append(draft("updated")) for _ in range(5)]
            assert [alert.sequence for alert in alerts] == list(range(1, 8))
            assert outbox.pending()[-1] == alerts[-1]
            health = outbox.health()
            assert (health.state, health.recoveries) == ("ok", 1)
        with Outbox(path) as outbox:
            assert outbox.append(draft("cleared")).sequence == 8
            assert outbox.open_alert("pump-7") is None
        assert list(path.parent.glob("*.damaged-*"))

    @pytest.mark.parametrize("content", [b"", b"not a database at all" * 1000, b"\0" * 8192])
    def test_damaged_between_runs(self, path: Path, content: bytes) -> None:
        """A daemon with a damaged file does not start."""
        with Outbox(path) as outbox:
            for _ in range(3):
                outbox.append(draft("raised"))
        path.write_bytes(content)
        with Outbox(path) as outbox:
            assert outbox.health().recoveries == 1
            assert outbox.append(draft("raised")).sequence > _JUMPED
        with Outbox(path) as outbox:
            assert outbox.append(draft("raised")).sequence > _JUMPED + 1

    def test_what_can_be_read_is_saved(self, path: Path) -> None:
        """A single damaged page loses all waiting alerts."""
        with Outbox(path) as outbox:
            alerts = [outbox.append(draft(machine=f"m{i % 3}")) for i in range(30)]
        _spoil_index(path)
        with Outbox(path) as outbox:
            assert outbox.health().recoveries == 1
            assert outbox.pending() == alerts
            assert outbox.open_alert("m1") is not None

    def test_deleted_while_running(self, path: Path) -> None:
        """Alerts are written into a deleted file."""
        with Outbox(path) as outbox:
            first = outbox.append(draft("raised"))
            for file in path.parent.glob(f"{path.name}*"):
                if not file.name.endswith(".lock"):
                    file.unlink()
            second = outbox.append(draft("cleared"))
            assert outbox.pending() == [first, second]
        with Outbox(path) as outbox:
            assert outbox.pending() == [first, second]
            assert outbox.append(draft("raised")).sequence == 3

    @pytest.mark.parametrize("damaged", [False, True])
    def test_open_alert_is_kept_if_the_disk_comes_late(self, path: Path, damaged: bool) -> None:
        """An alert from an earlier run is never cleared."""
        with Outbox(path, max_alerts=2) as outbox:
            raised = [outbox.append(draft(machine=name)) for name in ("idle", "active")]
            outbox.append(draft("updated", machine="idle"))  # one too many: dropped
        away = path.parent.rename(path.parent.with_name("not mounted"))
        path.parent.write_text("nothing is mounted here")
        with Outbox(path) as outbox:
            assert outbox.watch(["idle", "active"]) == []
            own = outbox.append(draft("cleared", machine="active"))
            assert outbox.health().state == "memory"
            path.parent.unlink()
            away.rename(path.parent)
            if damaged:
                _spoil_index(path)
            assert outbox.append(draft(machine="other")).sequence > _JUMPED
            assert outbox.health().state == "ok"
            opened = outbox.open_alert("idle")
            assert opened is not None
            assert opened.alert_id == raised[0].alert_id
        with Outbox(path) as outbox:
            cleared = outbox.append(draft("cleared", machine="idle"))
            assert cleared.alert_id == raised[0].alert_id
            assert cleared.sequence > _JUMPED
            assert outbox.open_alert("active") is None
            assert outbox.append(draft(machine="active")).sequence == own.sequence + 1
            if not damaged:  # the count of dropped alerts is not read from a damaged file
                assert outbox.health().dropped == {"updated": 1}

    def test_alerts_in_memory_are_limited(self, path: Path) -> None:
        """While the disk is broken, the memory becomes full."""
        path.parent.parent.mkdir(exist_ok=True)
        path.parent.write_text("a file where the folder should be")
        with Outbox(path, max_in_memory=10) as outbox:
            raised = outbox.append(draft("raised"))
            for _ in range(30):
                outbox.append(draft("updated"))
            assert outbox.health().state == "memory"
            assert outbox.depth() == 10
            assert outbox.pending()[0] == raised
            assert outbox.health().dropped == {"updated": 21}
            path.parent.unlink()
            outbox.append(draft("cleared"))
            assert (outbox.health().state, outbox.health().unwritten) == ("ok", 0)
        assert len(read_outbox(path).alerts) == 11


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk_at(tmp_path) as disk:
        yield disk


class TestFullDisk:
    """A disk that other programs have filled."""

    def test_reserve_holds_the_next_alerts(self, small_disk: Path) -> None:
        """Alerts that are raised while the disk is full do not survive a restart."""
        path = small_disk / "outbox.sqlite3"
        with Outbox(path) as outbox:
            fill(small_disk)
            for _ in range(300):
                alert = outbox.append(draft("raised"))
            assert outbox.health().state == "ok"
            for waiting in outbox.pending(250):
                outbox.acknowledge(waiting.event_id)
            assert outbox.health().state == "ok"
            assert outbox.depth() == 50
            assert alert.sequence == 300
        with Outbox(path) as outbox:
            assert outbox.depth() == 50

    def test_memory_beyond_the_reserve_and_recovery(self, small_disk: Path) -> None:
        """Without any space on the disk, alerts are lost."""
        path = small_disk / "outbox.sqlite3"
        with Outbox(path, max_alerts=100_000) as outbox:
            filler = fill(small_disk)
            number = 0
            while outbox.health().state == "ok":
                number += 1
                assert outbox.append(draft("raised")).sequence == number
                assert number < 20_000
            last = outbox.append(draft("cleared"))
            assert outbox.depth() == number + 1
            assert outbox.pending(100_000)[-1] == last
            filler.unlink()
            outbox.append(draft("raised"))
            assert (outbox.health().state, outbox.health().unwritten) == ("ok", 0)
        listing = read_outbox(path).alerts
        assert [alert.sequence for alert in listing] == list(range(1, number + 3))

    def test_a_file_that_the_disk_refused_has_its_reason(self, small_disk: Path) -> None:
        """An operator looks for the right folder, although the disk is full."""
        path = small_disk / "outbox.sqlite3"
        filler = fill(small_disk)
        with Outbox(path) as outbox:
            outbox.append(draft("raised"))
            with pytest.raises(MissingInputError, match="the disk is full") as refused:
                read_outbox(path)
            assert "no daemon has used" not in str(refused.value)
            filler.unlink()
            with pytest.raises(MissingInputError, match="although a daemon has used"):
                read_outbox(path)
            outbox.append(draft("cleared"))
            assert len(read_outbox(path).alerts) == 2

    def test_a_log_that_cannot_be_opened_has_its_reason(self, small_disk: Path) -> None:
        """After a kill, a full disk is reported as an I/O error."""
        path = small_disk / "outbox.sqlite3"
        with folder_in_memory() as folder, Outbox(folder / path.name) as outbox:
            outbox.append(draft("raised"))
            for ending in ("", "-wal"):
                shutil.copy(folder / f"{path.name}{ending}", small_disk)
        filler = fill(small_disk)
        with pytest.raises(BadInputError, match="the disk is full"):
            read_outbox(path)
        with pytest.raises(BadInputError, match="the disk is full"):
            WaitingAlerts(path).event_ids()
        filler.unlink()
        assert len(read_outbox(path).alerts) == len(WaitingAlerts(path).event_ids()) == 1

    def test_read_only(self, small_disk: Path) -> None:
        """On a flash card that became read-only, alerts are not delivered."""
        path = small_disk / "outbox.sqlite3"
        remount = ["mount", "-o"]
        with Outbox(path) as outbox:
            first = outbox.append(draft("raised"))
        subprocess.run([*remount, "remount,ro", small_disk], check=True)
        with Outbox(path) as outbox:
            assert outbox.health().state == "memory"
            assert "read" in outbox.health().detail
            subprocess.run([*remount, "remount,rw", small_disk], check=True)
            wait_for(lambda: outbox.machines_waiting() and outbox.health().state == "ok")
        subprocess.run([*remount, "remount,ro", small_disk], check=True)
        with pytest.raises(MissingInputError, match="the disk is read-only"):
            read_outbox(small_disk / "other.sqlite3")
        with Outbox(path) as outbox:
            second = outbox.append(draft("cleared"))
            assert second.alert_id == first.alert_id
            assert second.sequence > _JUMPED
            assert outbox.pending() == [first, second]
            outbox.acknowledge(first.event_id)
            assert outbox.pending() == [second]
            subprocess.run([*remount, "remount,rw", small_disk], check=True)
            third = outbox.append(draft("raised"))
            assert outbox.health().state == "ok"
            assert outbox.pending() == [second, third]
        assert read_outbox(path).alerts == [second, third]


def test_only_the_user_of_the_daemon_can_read_the_outbox(path: Path) -> None:
    """Every user of the computer can read the alerts."""
    with Outbox(path) as outbox:
        outbox.append(draft("raised"))
        modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.glob("outbox*")}
    assert len(modes) > 1
    assert set(modes.values()) == {0o600}


def test_numbers_do_not_start_again_while_the_clock_shows_1970(path: Path) -> None:
    """The power failure that damages the file also sets the clock of a board without a battery."""
    with Outbox(path) as outbox:
        known = [outbox.append(draft()).sequence for _ in range(3)]
    path.write_bytes(b"damaged")
    clock = FakeClock()
    clock.set_by_s = 60.0 - clock.unix_s()
    with Outbox(path, clock=clock) as outbox:
        assert outbox.append(draft()).sequence > max(known) + 1_000_000_000


def test_the_file_that_is_read_is_kept_although_the_clock_shows_1970(path: Path) -> None:
    """It would be deleted as the oldest damaged file, with its alerts, before it is read."""
    with Outbox(path) as outbox:
        alerts = [outbox.append(draft("raised")), outbox.append(draft("cleared"))]
    for number in range(3):
        path.with_name(f"{path.name}.damaged-2026-{number}").touch()
    _spoil_index(path)
    os.utime(path, (60.0, 60.0))
    with Outbox(path) as outbox:
        assert outbox.pending() == alerts
    assert len(list(path.parent.glob("*.damaged-*"))) == 3
