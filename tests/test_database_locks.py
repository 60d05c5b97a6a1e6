"""Databases that other processes read: nothing in the process that writes them ends its locks.

Without the lock on the index of the log, the next reader cuts the index in the memory of the
writer, whose next access ends its process (SIGBUS).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.history.reader import HistoryReader
from monitor.history.store import HistoryStore
from monitor.outbox.queue import Outbox
from monitor.service.history_feed import HistoryFeed
from tests.alert_drafts import draft
from tests.clocks import START_UNIX_S
from tests.daemons import ROOT
from tests.disks import folder_in_memory, small_disk_at
from tests.histories import alert, raise_alert, writing

_LOCKED = {
    "": "0x40000002",  # SHARED_FIRST of SQLite's os.h: every connection that uses the log
    "-shm": "128",  # UNIX_SHM_DMS of its os_unix.c: every process that has mapped the index
}
_PROBE = """
import fcntl, sys
for path, at in zip(sys.argv[1::2], sys.argv[2::2]):
    with open(path, "r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, int(at, 0))
        except OSError:
            print(path)
"""


def unlocked(path: Path) -> list[str]:
    """The parts of the database of this process that another process could lock for itself."""
    files = {f"{path}{suffix}": at for suffix, at in _LOCKED.items()}
    probe = [sys.executable, "-c", _PROBE, *(part for one in files.items() for part in one)]
    held = subprocess.run(probe, capture_output=True, text=True, check=True).stdout.split()
    return [name for name in files if name not in held]


@pytest.fixture
def path() -> Iterator[Path]:
    with folder_in_memory() as folder:
        yield folder / "database.sqlite3"


def test_a_history_that_is_written_and_read_in_one_process_stays_locked(path: Path) -> None:
    """Another process could delete the log with the newest alerts."""
    feed = HistoryFeed(path)
    outbox = Outbox(path.with_name("outbox.sqlite3"))
    for _ in range(3):  # every write looks at the header of the file
        sent = outbox.append(draft())
        feed.alert(sent)
        assert feed.has(sent.event_id, 10)
        assert feed.reader().events(limit=1)[0].event_id == sent.event_id
        assert not unlocked(path)
    feed.close()
    assert len(feed.reader().events()) == 3
    outbox.close()


def test_an_outbox_that_is_written_stays_locked(path: Path) -> None:
    """The same for alerts that wait."""
    with Outbox(path) as outbox:
        for _ in range(3):
            outbox.append(draft())
            assert not unlocked(path)


@pytest.mark.parametrize("other", [None, "other.sqlite3"], ids=["deleted", "replaced"])
def test_an_outbox_that_lost_its_name_is_left_before_another_is_opened(
    path: Path, other: str | None
) -> None:
    """Both would use one index of the log, and the first that is closed would end the locks."""
    with Outbox(path) as outbox:
        alerts = [outbox.append(draft("raised"))]
        path.unlink()
        if other is not None:
            elsewhere = path.parent / "elsewhere" / other
            with Outbox(elsewhere) as another:
                alerts.insert(0, another.append(draft("raised", machine="another")))
            elsewhere.rename(path)
        alerts.append(outbox.append(draft("cleared")))
        assert outbox.pending() == alerts
        assert outbox.health().depth == len(alerts)
        assert not unlocked(path)
    with Outbox(path) as outbox:
        assert outbox.pending() == alerts
        assert outbox.append(draft("raised")).sequence == 3


def test_an_outbox_of_a_disk_that_can_be_written_again_is_locked(tmp_path: Path) -> None:
    """The connection for reading has no locks, and closing it would end those of the new one."""
    with small_disk_at(tmp_path / "disk") as disk:
        path = disk / "outbox.sqlite3"
        with Outbox(path) as outbox:
            first = outbox.append(draft("raised"))
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with Outbox(path) as outbox:
            second = outbox.append(draft("cleared"))
            assert outbox.pending() == [first, second]
            subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
            third = outbox.append(draft("raised"))
            assert outbox.pending() == [first, second, third]
            assert not unlocked(path)


def test_an_outbox_that_was_emptied_is_damaged(path: Path) -> None:
    """Alerts would be written into a file without tables."""
    with Outbox(path) as outbox:
        alerts = [outbox.append(draft("raised"))]
        os.truncate(path, 0)
        alerts.append(outbox.append(draft("cleared")))
        assert outbox.health().recoveries == 1
        assert outbox.pending()[-1] == alerts[-1]


def test_another_history_that_is_put_under_its_name_is_used(path: Path) -> None:
    """Readers would read the new file with the log of the earlier one."""
    other = path.with_name("other.sqlite3")
    store = HistoryStore(other)
    store.write({}, [alert("raised", START_UNIX_S, name="earlier")], durable=True)
    store.close()
    with writing(path) as writer:
        assert raise_alert(writer, 1)
        other.rename(path)
        assert raise_alert(writer, 2)
        assert not unlocked(path)
        found = HistoryReader(path).events(newest_first=False)
        assert [one.alert_id for one in found] == ["earlier", "a2"]


def test_a_history_is_not_joined_with_the_log_of_a_deleted_one(path: Path) -> None:
    """The index that others have mapped would be that of another file."""
    with writing(path) as writer:
        assert raise_alert(writer, 1)
        for suffix in ("-wal", "-shm"):
            shutil.copy(f"{path}{suffix}", f"{path}{suffix}.left")
    path.unlink()
    for suffix in ("-wal", "-shm"):
        path.with_name(f"{path.name}{suffix}.left").rename(f"{path}{suffix}")
    left = path.with_name(path.name + "-shm").stat().st_ino
    with writing(path) as writer:
        assert raise_alert(writer, 2)
        assert path.with_name(path.name + "-shm").stat().st_ino != left
    assert [one.alert_id for one in HistoryReader(path).events()] == ["a2"]


def test_a_damaged_history_is_not_replaced_while_its_process_reads_it(path: Path) -> None:
    """SQLite would open the index of the new file for the connection to the damaged one."""
    feed = HistoryFeed(path)
    with Outbox(path.with_name("outbox.sqlite3")) as outbox:
        first, second = outbox.append(draft("raised")), outbox.append(draft("cleared"))
    feed.alert(first)
    assert feed.has(first.event_id, 10)
    with feed.reader()._opened() as connection:
        with path.open("r+b") as file:
            file.write(bytes(100))
        feed.alert(second)
        assert not feed.has(second.event_id, 0.3)
        assert connection.execute("SELECT kind FROM events").fetchall() == [("raised",)]
    assert feed.has(second.event_id, 10)
    assert path.with_name(path.name + ".damaged").exists()
    assert not unlocked(path)
    feed.close()


def test_only_the_feed_opens_the_history_in_the_daemon() -> None:
    """A second connection of the daemon could end the locks of the first one."""
    opening = re.compile(r"\b(HistoryReader|HistoryStore|HistoryFile|opened_to_read)\(")
    files = [*(ROOT / "monitor" / "service").rglob("*.py"), *(ROOT / "monitor/evidence").glob("*")]
    found = [one.name for one in files if one.is_file() and opening.search(one.read_text())]
    assert found == ["history_feed.py"]
