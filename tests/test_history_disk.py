"""The history on damaged, full, read-only and slow disks: only the history may suffer."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from monitor.errors import MissingInputError
from monitor.history.file import HistoryFile, database_bytes
from monitor.history.pending import Pending
from monitor.history.reader import HistoryReader
from monitor.history.retention import Limits
from monitor.history.store import HistoryStore
from monitor.history.writer import HistoryWriter
from monitor.outbox.queue import Outbox
from monitor.service.history_feed import HistoryFeed
from monitor.service.recorded_outbox import RecordedOutbox
from tests.alert_drafts import draft
from tests.clocks import START_UNIX_S
from tests.daemons import ROOT
from tests.disks import fill, small_disk_at
from tests.histories import (
    START,
    alert_event_id,
    event,
    raise_alert,
    settled,
    tally,
    writing,
)
from tests.waiting import wait_for


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again sooner than in real life."""
    monkeypatch.setattr(HistoryWriter, "RETRY_S", 0.1)
    monkeypatch.setattr(HistoryWriter, "MOST_COLLECT_S", 0.01)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.sqlite3"


@pytest.mark.parametrize(
    "content",
    [b"not a database at all" * 1000, b"\0" * 8192, b"SQLite"],
    ids=["text", "zeros", "short"],
)
def test_a_damaged_file_is_replaced(path: Path, content: bytes) -> None:
    """The history would never be written again."""
    path.parent.mkdir()
    path.write_bytes(content)
    with writing(path) as writer:
        assert raise_alert(writer, 1)
        assert writer.health().trouble == ""
    assert [one.alert_id for one in HistoryReader(path).events()] == ["a1"]
    assert path.with_name(path.name + ".damaged").read_bytes() == content


def test_a_file_that_is_overwritten_while_open(path: Path) -> None:
    """SQLite would write into a file that cannot be read after a restart."""
    with writing(path) as writer:
        assert raise_alert(writer, 1)
        before = HistoryReader(path).last_position()
        path.write_bytes(os.urandom(20_000))
        assert raise_alert(writer, 2)
    newest, *_ = HistoryReader(path).events()
    assert (newest.alert_id, newest.position > before) == ("a2", True)


def test_a_file_of_a_later_version_stays_as_it_is(path: Path) -> None:
    """An older program would destroy what a newer one wrote."""
    HistoryStore(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    content = path.read_bytes()
    with writing(path) as writer:
        assert not raise_alert(writer, 1)
        assert "later version" in writer.health().trouble
    assert path.read_bytes() == content


def test_a_deleted_file_begins_again(path: Path) -> None:
    """Everything would be written into a file that has no name any more."""
    with writing(path) as writer:
        assert raise_alert(writer, 1)
        shutil.rmtree(path.parent)
        assert raise_alert(writer, 2)
    assert [one.alert_id for one in HistoryReader(path).events()] == ["a2"]


def test_a_lapse_is_reported_when_nothing_counts_as_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outbox would forget alerts that only the earlier file had."""
    reached, goes_on = threading.Event(), threading.Event()

    def upkeep(file: HistoryFile) -> None:
        file.upkeep_due_s = float("inf")
        reached.set()
        goes_on.wait(10)

    with writing(path) as writer:
        assert raise_alert(writer, 1)
        first, before = alert_event_id("raised", START_UNIX_S + 1, "a1"), writer.lapses
        monkeypatch.setattr(HistoryFile, "upkeep", upkeep)
        path.unlink()
        raise_alert(writer, 2, 0.0)
        assert reached.wait(10)
        assert writer.lapses == before or not writer.is_written(first, 0.0)
        goes_on.set()
        wait_for(lambda: writer.lapses != before)
        assert not writer.is_written(first, 0.0)


def free_bytes(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def test_a_history_that_the_disk_refused_has_its_reason(tmp_path: Path) -> None:
    """An operator looks for the right folder, although the disk is full."""
    with small_disk_at(tmp_path / "state") as disk:
        reader = HistoryReader(disk / "history.sqlite3")
        filler = fill(disk)
        with pytest.raises(MissingInputError, match="the disk is full") as refused:
            reader.machines()
        assert "no daemon" not in str(refused.value)
        filler.unlink()
        with pytest.raises(MissingInputError, match="no daemon has written"):
            reader.machines()


def test_a_full_disk_costs_only_the_history(tmp_path: Path) -> None:
    """An alert would not be delivered because values of minutes fill the disk."""
    with small_disk_at(tmp_path / "disk") as folder, contextlib.ExitStack() as stack:
        writer = stack.enter_context(writing(folder / "history.sqlite3"))
        outbox = stack.enter_context(Outbox(folder / "outbox.sqlite3"))
        number = 0
        while not writer.health().trouble:
            for _ in range(500):
                writer.add_minute(f"m{number % 50}", START + number // 50, tally(0.5))
                number += 1
            wait_for(lambda: settled(writer) or bool(writer.health().trouble))
        assert "are free" in writer.health().trouble
        assert free_bytes(folder) > 100_000
        assert raise_alert(writer, 1)  # alerts may use a part of what is left
        filler = fill(folder)
        assert not raise_alert(writer, 2)
        for _ in range(100):
            outbox.append(draft())
        assert outbox.health().state == "ok"
        filler.unlink()
        shutil.copyfile(folder / "history.sqlite3", tmp_path / "copy.sqlite3")
        wait_for(lambda: writer.is_written(alert_event_id("raised", START_UNIX_S + 2, "a2"), 1))
        assert writer.health().n_lost == 0
        outbox.close()


def test_a_disk_that_is_read_only_at_first(tmp_path: Path) -> None:
    """The daemon would not start, or the history not begin when the disk is repaired."""
    with small_disk_at(tmp_path / "disk") as folder:
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        with writing(folder / "history.sqlite3") as writer:
            assert not raise_alert(writer, 1)
            writer.add_minute("m", START, tally(0.5))
            wait_for(lambda: writer.health().trouble)
            assert writer.health().n_waiting == 2
            subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
            wait_for(lambda: settled(writer))
            assert writer.health().trouble == ""
        history = HistoryReader(folder / "history.sqlite3")
        assert len(history.events()) == len(history.minutes("m", 0, 4e9)) == 1


def test_what_waits_is_limited_and_losses_are_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken disk would fill the memory of the daemon, or lose values without a report."""
    monkeypatch.setattr(Pending, "MOST_MINUTES", 20)
    monkeypatch.setattr(Pending, "MOST_EVENTS", 10)
    monkeypatch.setattr(Pending, "MOST_ALERT_EVENTS", 15)
    path.parent.mkdir()
    path.mkdir()  # a folder cannot be opened as a database
    with writing(path) as writer:
        for number in range(50):
            writer.add_minute("m", START + number, tally(0.5))
            writer.add_event(event("state", START_UNIX_S + number, value=str(number)))
            raise_alert(writer, number, 0.0)
        for number in range(50):  # values of a minute that waits already
            writer.add_minute("m", START + 49, tally(number / 100))
        wait_for(lambda: writer.health().n_waiting == 45)
        assert writer.health().n_lost == 30 + 40 + 35
        wait_for(lambda: writer.health().trouble)
        path.rmdir()
        wait_for(lambda: settled(writer))
    history = HistoryReader(path)
    assert [one.value for one in history.events(kinds=["state"])][-1] == "40"
    assert len(history.alerts()) == 15
    minutes = history.minutes("m", 0, 4e9)
    assert (len(minutes), minutes[-1].n_scores) == (20, 51)


class Stuck:
    """Stands for a disk on which every write waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.goes_on = threading.Event()
        self.reached = threading.Event()
        write = HistoryStore.write

        def slow(*arguments: object, **options: object) -> None:
            self.reached.set()
            self.goes_on.wait(30)
            write(*arguments, **options)  # type: ignore[arg-type]  # as it was called

        monkeypatch.setattr(HistoryStore, "write", slow)


def test_a_disk_that_hangs_delays_no_alert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The monitoring of a machine would wait for the history."""
    stuck = Stuck(monkeypatch)
    monkeypatch.setattr(RecordedOutbox, "LONGEST_WAIT_S", 0.3)
    feed = HistoryFeed(tmp_path / "history.sqlite3")
    with RecordedOutbox(tmp_path / "outbox.sqlite3", feed) as outbox:
        feed.event("state", "m")
        assert stuck.reached.wait(10)
        began_s = time.monotonic()
        sent = outbox.append(draft())
        assert time.monotonic() - began_s < 0.3
        outbox.acknowledge(sent.event_id)
        assert outbox.depth() == 0
        assert outbox.health().unrecorded == 1
        stuck.goes_on.set()
        assert feed.has(sent.event_id, 10)
        outbox.turn()
        assert outbox.health().unrecorded == 0
    feed.close()
    assert [one.event_id for one in HistoryReader(feed.path).events(kinds=["raised"])] == [
        sent.event_id
    ]


def test_an_alert_is_in_the_history_when_the_outbox_forgets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill, neither the outbox nor the history would have it."""
    stuck = Stuck(monkeypatch)
    feed = HistoryFeed(tmp_path / "history.sqlite3")
    with RecordedOutbox(tmp_path / "outbox.sqlite3", feed) as outbox:
        sent = outbox.append(draft())
        thread = threading.Thread(target=outbox.acknowledge, args=[sent.event_id])
        thread.start()
        assert stuck.reached.wait(10)
        thread.join(0.2)
        assert outbox.depth() == 1
        stuck.goes_on.set()
        thread.join(10)
        assert outbox.depth() == 0
        assert [one.event_id for one in HistoryReader(feed.path).events()] == [sent.event_id]
    feed.close()


def test_alerts_of_a_killed_daemon_are_added(tmp_path: Path) -> None:
    """A kill between outbox and history would lose the notification."""
    with Outbox(tmp_path / "outbox.sqlite3") as outbox:
        alerts = [outbox.append(draft("raised")), outbox.append(draft("updated"))]
    for _ in range(2):  # also if the history has them already
        feed = HistoryFeed(tmp_path / "history.sqlite3")
        with RecordedOutbox(tmp_path / "outbox.sqlite3", feed):
            feed.close()
        events = HistoryReader(feed.path).events(newest_first=False)
        assert [one.event_id for one in events] == [one.event_id for one in alerts]


def test_a_reader_that_stops_does_not_fill_the_disk(
    path: Path,
) -> None:
    """The log of the database would grow as long as another program reads."""
    writer = HistoryWriter(path, Limits(max_bytes=10e6))
    assert raise_alert(writer, 1)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM events").fetchall()
        number = 0
        while not writer.health().trouble:
            for _ in range(2000):
                writer.add_minute(f"m{number % 50}", START + number // 50, tally(0.5))
                number += 1
            wait_for(lambda: settled(writer) or bool(writer.health().trouble))
        assert "does not stop reading" in writer.health().trouble
        assert database_bytes(path) < 10e6
        reader.execute("COMMIT")
        wait_for(lambda: settled(writer))
    writer.close()
    assert len(HistoryReader(path).machines()) == 51  # with that of the alert


LEAVES_LOG = """
import os, sys
from pathlib import Path
from monitor.history.store import HistoryStore
from tests.clocks import START_UNIX_S
from tests.histories import alert
HistoryStore(Path(sys.argv[1])).close()
store = HistoryStore(Path(sys.argv[1]))
store.write({}, [alert("raised", START_UNIX_S)], durable=True)
os.kill(os.getpid(), 9)
"""


def test_a_killed_daemon_leaves_a_history_that_can_be_read(tmp_path: Path) -> None:
    """The web page of a node whose disk became read-only would be empty."""
    with small_disk_at(tmp_path / "disk") as folder:
        path = folder / "history.sqlite3"
        subprocess.run([sys.executable, "-c", LEAVES_LOG, path], cwd=ROOT, check=False)
        assert path.with_name(path.name + "-wal").stat().st_size > 0
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        assert len(HistoryReader(path).events()) == 1
        subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
        path.with_name(path.name + "-shm").unlink()  # as in a copy without it
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        assert HistoryReader(path).events() == []  # only the log has it, and it needs its index
