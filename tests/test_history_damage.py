"""Damaged pages of the history: they are found, and what can be read is kept."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.errors import BadInputError
from monitor.history.file import HistoryFile
from monitor.history.reader import HistoryReader
from monitor.history.records import Event
from monitor.history.schema import PERIODS
from monitor.history.store import HistoryStore
from monitor.history.tally_check import TallyCheck
from monitor.history.writer import HistoryWriter
from tests.clocks import START_UNIX_S
from tests.daemons import ROOT
from tests.histories import (
    START,
    alert,
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


def spoil(path: Path, table: str) -> None:
    """Overwrite the first page of a table."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
        (root,) = connection.execute(query, (table,)).fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)


def spoil_a_leaf(path: Path, table: str) -> None:
    """Overwrite the first page of a table that names no others: writing does not read it."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
        (number,) = connection.execute(query, (table,)).fetchone()
    root, content = number, path.read_bytes()
    while (page := content[(number - 1) * 4096 : number * 4096])[0] in {2, 5}:
        cell = int.from_bytes(page[12:14], "big")
        number = int.from_bytes(page[cell : cell + 4], "big")
    assert number != root
    with path.open("r+b") as file:
        file.seek((number - 1) * 4096)
        file.write(b"\xff" * 4096)


def read_all(path: Path) -> list[Event]:
    """All events; every alert of them can be read too."""
    reader = HistoryReader(path)
    found = reader.news(0, limit=9999)[0]
    assert len(reader.alerts(limit=9999)) == len(found)
    return found


def test_events_of_a_damaged_file_are_kept(path: Path) -> None:
    """A notification that is not sent yet would be lost with one bad block of the disk."""
    store = HistoryStore(path)
    store.begin_positions_at(1_000_000)
    minutes = {("m", START + number): tally(0.5) for number in range(3000)}
    events = [alert("raised", START_UNIX_S + number, name=f"a{number}") for number in range(1500)]
    store.write(minutes, [*events, event("label", alert_id="a7", value="fault")], durable=True)
    store.close()
    before = HistoryReader(path).news(0, limit=9999)[0]
    spoil(path, "minutes")
    with writing(path) as writer:
        writer.add_minute("m", START, tally(0.5))
        wait_for(lambda: settled(writer) and not writer.health().trouble)
        assert raise_alert(writer, 5000)
    *after, newest = HistoryReader(path).news(0, limit=9999)[0]
    assert after == before
    assert newest.position > before[-1].position
    record = HistoryReader(path).alert("a7")
    assert record is not None
    assert record.label == "fault"


@pytest.mark.parametrize("table", ["events", "alerts"])
def test_damage_that_writing_does_not_notice_is_found(path: Path, table: str) -> None:
    """The page and the messages to people could read nothing for as long as the node lives."""
    store = HistoryStore(path)
    events = [
        alert("raised", START_UNIX_S + number, name=f"a{number:04}") for number in range(2000)
    ]
    store.write({}, events, durable=True)
    store.close()
    spoil_a_leaf(path, table)
    with pytest.raises(BadInputError):
        read_all(path)
    with writing(path) as writer:
        assert raise_alert(writer, 9999)
        wait_for(lambda: path.with_name(path.name + ".damaged").exists())
        wait_for(lambda: settled(writer))
    found = read_all(path)
    assert len(found) > 1500  # a part of 500 is lost with its damaged page
    assert found[-1].alert_id == "a9999"


DAY_MIN = 1440


def filled(path: Path, n_minutes: int) -> HistoryStore:
    """A history of two machines."""
    store = HistoryStore(path)
    for name in ("m", "n"):
        for first in range(0, n_minutes, DAY_MIN):
            numbers = range(first, min(first + DAY_MIN, n_minutes))
            store.write(
                {(name, START + number): tally(number / 1e4) for number in numbers},
                [],
                durable=False,
            )
    return store


@pytest.mark.parametrize("table", ["minutes", "hours"])
def test_a_damaged_page_of_values_is_found(
    path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    """The chart of these days would show nothing for as long as the node lives."""
    monkeypatch.setattr(HistoryFile, "CHECK_S", 0.0)
    n_minutes = 6 * DAY_MIN
    filled(path, n_minutes).close()
    spoil_a_leaf(path, table)
    with writing(path) as writer:
        assert raise_alert(writer, 1)
        wait_for(lambda: writer.health().n_replaced)
        wait_for(lambda: settled(writer) and not writer.health().trouble)
        assert raise_alert(writer, 2)
    history = HistoryReader(path)
    assert [one.alert_id for one in history.events(newest_first=False)] == ["a1", "a2"]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        query = (
            f"SELECT count(*) FROM {table} JOIN machines"  # noqa: S608 - a constant
            " USING (machine_id) WHERE name = ?"
        )
        kept = {name: connection.execute(query, (name,)).fetchone()[0] for name in ("m", "n")}
        starts = connection.execute("SELECT min(start), max(start) FROM minutes").fetchone()
    whole = n_minutes if table == "minutes" else n_minutes // 60
    lost_page = 2 * whole - sum(kept.values())
    assert 0 < lost_page < 120
    assert kept["n"] == whole
    assert starts[1] == START + n_minutes - 1


def test_rows_of_impossible_values_are_damage(path: Path) -> None:
    """Bits that fell over leave a page that can be read, and values that are none."""
    store = filled(path, 10)
    check = TallyCheck(store._connection)
    for _ in PERIODS:
        check.step()
    assert check.n_rounds == 1
    store._connection.execute("UPDATE hours SET n_scores = 'x' WHERE machine_id = 2")
    for _ in ("minutes", "quarters"):
        check.step()
    with pytest.raises(sqlite3.DatabaseError, match="hours") as found:
        check.step()
    assert found.value.sqlite_errorcode == sqlite3.SQLITE_CORRUPT
    store.close()


def test_a_step_of_the_check_reads_few_rows_and_all_are_read_in_turn(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large file would delay alerts, or a part of it never be checked."""
    monkeypatch.setattr(TallyCheck, "ROWS", 50)
    store = filled(path, 125)
    check = TallyCheck(store._connection)
    steps = 0
    while not check.n_rounds:
        check.step()
        steps += 1
    # Minutes, and the empty end of them; quarters, hours and days.
    assert steps == 250 // 50 + 1 + 1 + 1 + 1
    store.close()


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A damaged history that a killed daemon has left, with its newest event only in the log."""
    path = Path(tmp_path_factory.mktemp("damaged")) / "history.sqlite3"
    store = HistoryStore(path)
    events = [alert("raised", START_UNIX_S + number, name=f"a{number}") for number in range(1500)]
    store.write({("m", START): tally(0.5)}, events, durable=True)
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'minutes'"
        (root,) = connection.execute(query).fetchone()
    store = HistoryStore(path)
    store.write({}, [alert("raised", START_UNIX_S + 1500, name="a1500")], durable=True)
    left = path.parent / "left"
    left.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", left)
    store.close()
    with (left / path.name).open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)
    return left


REPLACES_AND_IS_KILLED = """
import os, signal, sys
from pathlib import Path
from monitor.history.store import HistoryStore
from monitor.history.writer import HistoryWriter
from tests.histories import START, tally
path, owner, name, number = Path(sys.argv[1]), *sys.argv[2].split("."), int(sys.argv[3])
owner = {"Path": Path, "HistoryStore": HistoryStore}[owner]
call, calls = getattr(owner, name), iter(range(1000))
def killed(*arguments, **options):
    if next(calls) == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return call(*arguments, **options)
setattr(owner, name, killed)
writer = HistoryWriter(path)
writer.add_minute("m", START, tally(0.5))
writer.close(20.0)
"""


@pytest.mark.parametrize(
    ("step", "number"),
    [
        *(("Path.replace", number) for number in range(4)),
        *(("HistoryStore.write", number) for number in range(1, 4)),
        ("HistoryStore.begin_positions_at", 0),
    ],
)
def test_a_kill_while_a_damaged_file_is_replaced_loses_no_event(
    damaged: Path, path: Path, step: str, number: int
) -> None:
    """An end that `auscult notify` has not read would never be sent."""
    shutil.copytree(damaged, path.parent)
    command = [sys.executable, "-c", REPLACES_AND_IS_KILLED, str(path), step, str(number)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with writing(path) as writer:
        writer.add_minute("m", START, tally(0.5))
        assert raise_alert(writer, 9999)
    found = HistoryReader(path).news(0, limit=9999)[0]
    assert [one.alert_id for one in found] == [*(f"a{number}" for number in range(1501)), "a9999"]
    assert [one.position for one in found[:-1]] == list(range(1, 1502))
    assert path.with_name(path.name + ".damaged").exists()
    assert not list(path.parent.glob("*.salvage*"))
