"""Values of quarters of an hour: as quick as they should be, and made for files that have none."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from monitor.history.filling import Filling
from monitor.history.reader import HistoryReader
from monitor.history.records import Minute
from monitor.history.retention import Limits
from monitor.history.schema import PERIODS
from monitor.history.store import HistoryStore
from monitor.history.tally import COLUMNS, Tally
from monitor.history.writer import HistoryWriter
from tests.histories import START, event, settled, tally
from tests.waiting import wait_for

FIRST = START - START % 1440
DAYS = 3
MACHINES = ("m", "n")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite3"


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of the filling makes some quarters only."""
    monkeypatch.setattr(Filling, "ROWS", 30 * 15)


def random_minutes(seed: int) -> dict[tuple[str, int], Tally]:
    """Minutes of two machines in some days, with gaps."""
    numbers = random.Random(seed)  # noqa: S311 - no secret
    return {
        (name, minute): tally(
            *(numbers.random() * 2 for _ in range(numbers.randrange(3))),
            state=numbers.choice(["ok", "ok", "anomaly", "off"]),
            seconds=numbers.randrange(1, 600) / 10,
        )
        for name in MACHINES
        for minute in range(FIRST, FIRST + 1440 * DAYS)
        if numbers.random() < 0.1
    }


def earlier_version(path: Path, minutes: dict[tuple[str, int], Tally]) -> None:
    """A file as version 1 wrote it."""
    with closing(HistoryStore(path)) as store:
        store.write(minutes, [], durable=False)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TABLE quarters; PRAGMA user_version = 1;")


def overview(path: Path, most_points: int = 96 * DAYS) -> dict[str, list[Minute]]:
    since_s = 60.0 * FIRST
    return HistoryReader(path).overviews(MACHINES, since_s, since_s + 86_400.0 * DAYS, most_points)


def numbers_of(rows: list[Minute]) -> list[tuple[object, ...]]:
    """Without the state: of joined rows it is one of the longest."""
    return [(*row[:7], *(round(one, 3) for one in row[8:])) for row in rows]


def quarters_of(path: Path) -> dict[tuple[str, int], tuple[object, ...]]:
    query = (
        f"SELECT name, start, {', '.join(COLUMNS)} FROM quarters"  # noqa: S608 - constants
        " JOIN machines USING (machine_id)"
    )
    with closing(sqlite3.connect(path)) as connection:
        return {(name, start): tuple(values) for name, start, *values in connection.execute(query)}


def expected_quarters(*parts: dict[tuple[str, int], Tally]) -> dict[tuple[str, int], Tally]:
    found: dict[tuple[str, int], Tally] = {}
    minutes: dict[tuple[str, int], Tally] = {}
    for part in parts:
        for key, one in part.items():
            minutes.setdefault(key, Tally()).add(one)
    for (name, minute), one in sorted(minutes.items()):
        found.setdefault((name, minute - minute % 15), Tally()).add(one)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_file_of_an_earlier_version_loses_nothing(path: Path, seed: int) -> None:
    """After an upgrade, a page would show gaps, or values twice."""
    before = random_minutes(seed)
    earlier_version(path, before)
    shown = overview(path)
    assert len(shown["m"]) > 50
    numbers = random.Random(seed)  # noqa: S311 - no secret
    store = HistoryStore(path)
    n_steps = 0
    is_open = True
    parts = [before]
    while is_open:
        now = overview(path)
        for name in MACHINES:
            assert numbers_of(now[name]) == numbers_of(shown[name])
        if numbers.random() < 0.3:  # a restart, and values of any time
            store.close()
            store = HistoryStore(path)
            late = {("m", numbers.randrange(FIRST, FIRST + 1440 * DAYS)): tally(0.7, seconds=30)}
            store.write(late, [], durable=False)
            parts.append(late)
            store.close()
            shown = joined_from_minutes(path)
            store = HistoryStore(path)
        is_open = store.fill()
        n_steps += 1
    store.close()
    assert n_steps > 5
    expected = expected_quarters(*parts)
    made = quarters_of(path)
    assert made.keys() == expected.keys()
    at_state = COLUMNS.index("state")
    for key, one in expected.items():
        values = [getattr(one, name) for name in COLUMNS]
        assert list(made[key])[:at_state] == values[:at_state]
        assert list(made[key])[at_state + 2 :] == values[at_state + 2 :]


def joined_from_minutes(path: Path) -> dict[str, list[Minute]]:
    """What a reader without quarters shows."""
    copy = path.with_name("copy.sqlite3")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.executescript("DROP TABLE quarters; PRAGMA user_version = 1;")
    return overview(copy)


def test_the_daemon_makes_the_quarters_while_it_runs(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would never be made, or alerts wait for them."""
    monkeypatch.setattr("monitor.history.file.HistoryFile.FILL_S", 0.01)
    before = random_minutes(1)
    earlier_version(path, before)
    writer = HistoryWriter(path)
    writer.add_event(event("state"))  # the file is opened for what is written
    wait_for(lambda: settled(writer))
    wait_for(lambda: quarters_of(path).keys() == expected_quarters(before).keys())
    writer.close(10.0)


def test_quarters_stay_when_minutes_are_deleted(path: Path) -> None:
    """The file would lose a resolution that it has space for, or never become smaller."""
    with closing(HistoryStore(path)) as store:
        store.write(random_minutes(2), [], durable=False)
        n_minutes = len(overview(path, 10_000)["m"])
        while store.shrink(Limits(max_bytes=70_000)):
            pass
        rows = overview(path, 10_000)["m"]
    assert len(rows) < n_minutes
    assert {row.minutes for row in rows} >= {1, 15}
    with closing(sqlite3.connect(path)) as connection:
        kept = dict(connection.execute("SELECT * FROM kept_from"))
    assert set(kept) <= set(PERIODS)
