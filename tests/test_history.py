"""Minutes and events in the history: what is written, and what is read."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.clock import rfc3339
from monitor.errors import BadInputError, MissingInputError
from monitor.history import opening
from monitor.history.reader import HistoryReader
from monitor.history.recorder import MinuteRecorder
from monitor.history.records import Event
from monitor.history.store import HistoryStore
from monitor.history.tally import Tally
from monitor.history.writer import HistoryWriter
from tests.clocks import START_UNIX_S
from tests.histories import START, alert, alert_event_id, event, tally
from tests.waiting import wait_for

DAY = 1440


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[HistoryStore]:
    store = HistoryStore(path)
    yield store
    store.close()


def write(store: HistoryStore, *events: Event, **minutes: dict[int, Tally]) -> None:
    rows = {(name, at): one for name, values in minutes.items() for at, one in values.items()}
    store.write(rows, events, durable=True)


def test_values_of_the_same_minute_are_added(store: HistoryStore, path: Path) -> None:
    """A clock that was set back, or a restart, would overwrite what was known."""
    write(store, m={START: tally(0.5, 0.7, seconds=20)})
    write(store, m={START: tally(0.1, seconds=10), START + 1: tally(0.2)})
    write(store, m={START: tally(seconds=5)})
    first, second = HistoryReader(path).minutes("m", START_UNIX_S, START_UNIX_S + 120)
    assert (first.ratio_min, first.ratio_max, first.n_scores) == (0.1, 0.7, 3)
    assert first.ratio_mean == pytest.approx(1.3 / 3, abs=1e-4)
    assert (first.scored_s, first.received_s) == (35.0, 35.0)
    assert (second.ratio_min, second.start_s) == (0.2, START_UNIX_S + 60)


def random_tally(numbers: random.Random) -> Tally:
    one = tally(
        *(numbers.random() * 2 for _ in range(numbers.randrange(4))),
        state=numbers.choice(["ok", "anomaly", "off"]),
        seconds=numbers.randrange(600) / 10,
    )
    one.level_time = one.received_time * numbers.randrange(2)
    one.level_sum = -300 * one.level_time
    one.running_time = numbers.randrange(one.received_time + 1)
    one.off_time = one.received_time - one.running_time
    one.lost_time = numbers.randrange(50)
    return one


@pytest.mark.parametrize("seed", range(5))
def test_the_file_adds_as_the_program_does(store: HistoryStore, path: Path, seed: int) -> None:
    """Hours and days would show other values than their minutes."""
    numbers = random.Random(seed)  # noqa: S311 - no secret
    expected = Tally()
    for _ in range(200):
        minute = START - START % DAY + numbers.randrange(DAY)
        one = random_tally(numbers)
        expected.add(one)
        write(store, m={minute: one})
    day_s = 60 * (START - START % DAY)
    [shown] = HistoryReader(path).overview("m", day_s, day_s + 86_400, 1)
    joined = HistoryReader(path).minutes("m", day_s, day_s + 86_400)
    assert shown.ratio_min == min(one.ratio_min for one in joined if one.ratio_min is not None)
    assert shown.ratio_max == max(one.ratio_max for one in joined if one.ratio_max is not None)
    assert shown.n_scores == expected.n_scores == sum(one.n_scores for one in joined)
    assert shown.ratio_mean == pytest.approx(expected.ratio_sum / expected.n_scores / 1e4, abs=1e-4)
    assert shown.received_s == pytest.approx(sum(one.received_s for one in joined))
    assert shown.running_s == pytest.approx(expected.running_time / 10)
    assert shown.lost_s == pytest.approx(expected.lost_time / 10)
    assert shown.state == expected.state
    assert shown.level_dbfs == pytest.approx(-30.0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("minutes", [1, 90, 3 * DAY, 400 * DAY])
def test_an_overview_has_few_rows_and_loses_nothing(
    store: HistoryStore, path: Path, minutes: int, seed: int
) -> None:
    """A page would get a million rows, or not show an anomaly."""
    numbers = random.Random(seed)  # noqa: S311 - no secret
    since = START - numbers.randrange(10_000)
    places = {since + numbers.randrange(minutes) for _ in range(300)}
    write(store, m={one: tally(0.5) for one in places})
    peak = numbers.choice(sorted(places))
    write(store, m={peak: tally(7.0)})
    for most_points in (1, 2, 10, 100):
        rows = HistoryReader(path).overview("m", since * 60, (since + minutes) * 60, most_points)
        assert len(rows) <= most_points
        assert sum(one.n_scores for one in rows) == len(places) + 1
        [shown] = [one for one in rows if one.ratio_max == 7.0]
        assert shown.minute <= peak < shown.minute + shown.minutes


def test_the_longest_state_is_that_of_the_time(store: HistoryStore, path: Path) -> None:
    """A restart of one second would make the whole day unavailable."""
    for number, state in enumerate(("ok", "ok", "unavailable", "ok", "off")):
        write(store, m={START + number: tally(state=state, seconds=1 if number == 2 else 60)})
    [shown] = HistoryReader(path).overview("m", START * 60, START * 60 + 300, 1)
    assert shown.state == "ok"


def test_events_are_found_by_what_they_are(store: HistoryStore, path: Path) -> None:
    """A technician could not find what happened."""
    write(store, event("state", value="ok"), event("mute", START_UNIX_S + 5, machine="n"))
    write(store, event("state", START_UNIX_S - 60, value="off"), alert("raised", START_UNIX_S + 9))
    history = HistoryReader(path)
    assert [one.kind for one in history.events()] == ["raised", "mute", "state", "state"]
    assert [one.value for one in history.events(kinds=["state"], newest_first=False)] == [
        "off",
        "ok",
    ]
    assert [one.kind for one in history.events(machine="n")] == ["mute"]
    assert [one.kind for one in history.events(alert_id="a")] == ["raised"]
    assert history.events(since_s=START_UNIX_S, until_s=START_UNIX_S + 5, limit=9)[0].value == "ok"
    assert len(history.events(limit=2)) == 2


def test_a_cursor_gets_every_event_once_in_order(store: HistoryStore, path: Path) -> None:
    """A notification would be lost, or sent again after a restart."""
    history = HistoryReader(path)
    start = history.last_position()
    for number in range(10):
        write(store, event("state", START_UNIX_S - number, value=str(number)))
    found, position = [], start
    while batch := history.news(position, limit=3)[0]:
        found += [one.value for one in batch]
        position = batch[-1].position
    assert found == [str(number) for number in range(10)]
    assert position == history.last_position()


def test_the_same_message_is_kept_once(store: HistoryStore, path: Path) -> None:
    """After a restart, the alerts of the outbox would be there twice."""
    for _ in range(3):
        write(store, alert("raised", START_UNIX_S), alert("updated", START_UNIX_S + 300))
    assert len(HistoryReader(path).events()) == 2
    [shown] = HistoryReader(path).alerts()
    assert shown.n_updates == 1


def test_one_row_describes_an_alert(store: HistoryStore, path: Path) -> None:
    """A list of alerts would need all their messages."""
    write(store, alert("raised", START_UNIX_S), alert("updated", START_UNIX_S + 300, peak=8.0))
    write(store, event("acknowledge", alert_id="a", note="on my way"))
    history = HistoryReader(path)
    [shown] = history.alerts()
    assert (shown.cleared_at, shown.peak_ratio, shown.acknowledged) == (None, 4.0, True)
    write(store, alert("cleared", START_UNIX_S + 600), event("label", alert_id="a", value="fault"))
    [shown] = history.alerts(since_s=START_UNIX_S + 500)
    assert (shown.label, shown.note, shown.cleared_unix_s) == (
        *("fault", "on my way"),
        START_UNIX_S + 600,
    )
    assert shown.payload["kind"] == "cleared"
    assert history.alerts(since_s=START_UNIX_S + 601) == []
    assert history.alerts(until_s=START_UNIX_S) == []
    assert history.alerts(machine="other") == []
    assert history.alert("a") == shown
    assert history.alert("b") is None
    write(store, alert("raised", START_UNIX_S + 700))  # the same fault, after a stop
    assert history.alerts(since_s=START_UNIX_S + 601)[0].cleared_at is None


@pytest.mark.parametrize("set_by_s", [-1800 * 86_400.0, 1800 * 86_400.0])
def test_an_alert_is_listed_by_the_clock_that_was_corrected(
    store: HistoryStore, path: Path, set_by_s: float
) -> None:
    """An alert of a clock that was years ahead would be in no list until then."""
    messages = [
        replace(one, payload={**one.payload, "started_at": rfc3339(started_s), "sequence": number})
        for number, one, started_s in (
            (1, alert("raised", START_UNIX_S - set_by_s), START_UNIX_S - set_by_s - 6),
            (2, alert("updated", START_UNIX_S + 60), START_UNIX_S - 6),
            (3, alert("cleared", START_UNIX_S + 120), START_UNIX_S - 6),
        )
    ]
    write(store, *messages)
    (found,) = HistoryReader(path).alerts(since_s=START_UNIX_S - 60, until_s=START_UNIX_S + 300)
    assert (found.raised_at, found.raised_unix_s) == (rfc3339(START_UNIX_S), START_UNIX_S)
    assert (found.cleared_at, found.n_updates) == (rfc3339(START_UNIX_S + 120), 1)


def test_a_history_that_does_not_exist(path: Path) -> None:
    """A page would fail with a traceback before the daemon has written anything."""
    with pytest.raises(MissingInputError, match="does not exist"):
        HistoryReader(path).machines()


def test_an_empty_history_is_not_called_that_of_another_program(path: Path) -> None:
    """A full disk leaves an empty file, and its name would lead to the wrong repair."""
    path.parent.mkdir()
    path.touch()
    with pytest.raises(BadInputError, match=r"is empty: .* its disk is full"):
        HistoryReader(path).machines()


def test_a_locked_history_is_not_read_without_its_log(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest alerts would seem not to exist."""
    monkeypatch.setattr(opening, "_TIMEOUT_S", 0.05)
    HistoryStore(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("INSERT INTO machines (name) VALUES ('m')")
        with pytest.raises(BadInputError, match="locked"):
            HistoryReader(path).machines()
    assert HistoryReader(path).machines() == ["m"]


def test_minutes_follow_the_clock() -> None:
    """Values would be in the wrong minute, or be lost at its end."""
    put: dict[int, Tally] = {}

    def add(_machine: str, minute: int, one: Tally) -> None:
        put.setdefault(minute, Tally()).add(one)

    recorder = MinuteRecorder("m", add)
    recorder.show("ok")
    now_s = 0.0
    for step in range(1, 1801):
        now_s += 0.1
        back_s = 90.0 if step > 900 else 0.0  # the clock is set back
        end_s = START * 60 + now_s - back_s
        recorder.received(
            *(end_s, 0.1, now_s), scored=True, operation="running", energy=10.0, n_samples=1000
        )
        recorder.score(1.0)
    recorder.flush()
    assert sorted(put) == [START, START + 1]
    assert [put[one].received_time for one in sorted(put)] == pytest.approx([1200, 600], abs=3)
    assert sum(one.n_scores for one in put.values()) == 1800
    assert all(one.level_sum / one.level_time == -200 for one in put.values())
    assert all(one.state == "ok" and not one.lost_time for one in put.values())


def test_missing_sound_is_counted_once() -> None:
    """A gap would be counted twice, or not while it lasts."""
    put: dict[int, Tally] = {}

    def add(_machine: str, minute: int, one: Tally) -> None:
        put.setdefault(minute, Tally()).add(one)

    def sound(now_s: float, missing_s: float = 0.0) -> None:
        end_s = START * 60 + now_s
        recorder.received(end_s, 1.0, now_s, scored=True, operation=None, missing_s=missing_s)

    recorder = MinuteRecorder("m", add)
    recorder.show("ok")
    sound(10.0)
    recorder.absent(10.0)
    recorder.show("unavailable")
    for now_s in range(11, 301):
        recorder.turn(float(now_s), START * 60 + float(now_s))
    recorder.show("ok")
    sound(301.0, missing_s=290.0)
    sound(312.0, missing_s=10.0)
    recorder.flush()
    assert sum(one.lost_time for one in put.values()) == pytest.approx(3010, abs=10)
    assert put[START + 2].lost_time == 600
    assert put[START + 2].state == "unavailable"


def test_what_is_added_can_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread would not write, or not before the end."""
    monkeypatch.setattr(HistoryWriter, "COLLECT_S", 0.01)
    writer = HistoryWriter(path)
    writer.add_event(alert("raised", START_UNIX_S))
    assert writer.is_written(alert_event_id("raised", START_UNIX_S), 10.0)
    assert [one.kind for one in HistoryReader(path).events()] == ["raised"]
    writer.add_minute("m", START, tally(0.5))
    wait_for(lambda: HistoryReader(path).machines() == ["m"], 10)
    writer.add_event(event("mute"))
    writer.close()
    assert len(HistoryReader(path).events()) == 2  # the log of the database is gone now
    assert not path.with_name(path.name + "-wal").exists()


@pytest.mark.parametrize("seed", range(10))
def test_any_clock_keeps_every_second_and_every_score(seed: int) -> None:
    """A clock that is set, gaps or restarts of the source would lose values or count them twice."""
    numbers = random.Random(seed)  # noqa: S311 - no secret
    put: dict[int, Tally] = {}
    n_parts = 0

    def add(_machine: str, minute: int, one: Tally) -> None:
        nonlocal n_parts
        n_parts += 1
        put.setdefault(minute, Tally()).add(one)

    recorder = MinuteRecorder("m", add)
    now_s, set_by_s, received_s, lost_s, n_scores = 0.0, 0.0, 0.0, 0.0, 0
    absent_since_s: float | None = None
    for _ in range(2000):
        step_s = numbers.choice([0.05, 0.1, 1.0, 7.0])
        if numbers.random() < 0.01:
            set_by_s = numbers.uniform(-1e5, 1e5)
        now_s += step_s
        unix_s = START_UNIX_S + now_s + set_by_s
        action = numbers.choice(["sound"] * 8 + ["turn", "absent"])
        if action == "sound":
            if absent_since_s is not None:
                lost_s += now_s - absent_since_s
                absent_since_s = None
            recorder.received(unix_s, step_s, now_s, scored=True, operation="running")
            recorder.score(numbers.random())
            received_s, n_scores = received_s + step_s, n_scores + 1
        elif action == "turn":
            recorder.turn(now_s, unix_s)
        elif absent_since_s is None:
            recorder.absent(now_s)
            absent_since_s = now_s
    if absent_since_s is not None:
        recorder.turn(now_s, START_UNIX_S + now_s + set_by_s)
        lost_s += now_s - absent_since_s
    recorder.flush()
    tolerance = 0.5 * n_parts
    assert sum(one.n_scores for one in put.values()) == n_scores
    assert sum(one.received_time for one in put.values()) == pytest.approx(
        received_s * 10, abs=tolerance
    )
    assert sum(one.lost_time for one in put.values()) == pytest.approx(lost_s * 10, abs=tolerance)


@pytest.mark.parametrize(
    "payload", ["", "{", "[]", "null", '{"score": NaN}', '{"score": 1e999}', b"\xff", "[" * 9999]
)
def test_a_damaged_payload_hides_no_event(
    store: HistoryStore, path: Path, payload: str | bytes
) -> None:
    """One damaged row would stop the page, the command and the messages to people."""
    write(store, alert("raised", START_UNIX_S), alert("cleared", START_UNIX_S + 60.0, "b"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE events SET payload = ? WHERE kind = 'raised'", (payload,))
        connection.execute("UPDATE alerts SET payload = ? WHERE alert_id = 'a'", (payload,))
    reader = HistoryReader(path)
    found = {one.kind: one.payload for one in reader.events()}
    assert found["raised"] == {}
    assert found["cleared"]["threshold"] == 2.0
    assert {one.alert_id for one in reader.alerts()} == {"a", "b"}
    assert [one.kind for one in reader.news(0)[0]] == ["raised", "cleared"]
