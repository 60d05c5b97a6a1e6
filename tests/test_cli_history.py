"""`auscult history`: what a technician reads, and what is exported."""

from __future__ import annotations

import contextlib
import csv
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.clock import rfc3339
from monitor.history.retention import Limits
from monitor.history.store import HistoryStore
from monitor.history.tally import Tally
from tests.command_line import auscult
from tests.histories import alert, event, tally

NOW_S = 60.0 * (time.time() // 60)
"""The end of the values. The tests may run much later."""
MINUTE = int(NOW_S) // 60
CONFIG = """
[[machine]]
id = "pump-7"
bundle = "bundle"
[machine.source]
kind = "microphone"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    yield path
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def store(config: Path) -> Iterator[HistoryStore]:
    store = HistoryStore(config.parent / "state" / "history.sqlite3")
    minutes = {("pump-7", MINUTE - 2880 + one): tally(0.25, 0.75) for one in range(2880)}
    minutes["pump-7", MINUTE - 100] = tally(2.5, state="anomaly")
    store.write(minutes, [], durable=True)
    yield store
    store.close()


def local(unix_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(unix_s + 19_800))


def test_a_technician_reads_what_happened(store: HistoryStore, config: Path) -> None:
    """Nobody could see whether a machine changed slowly, or who said what about an alert."""
    about = {"machine": "pump-7", "alert_id": "a", "user": "anna"}
    events = [
        alert("raised", NOW_S - 6000, machine="pump-7"),
        event("acknowledge", NOW_S - 5900, note="on my\nway", **about),
        event("label", NOW_S - 5800, value="fault", **about),
        alert("cleared", NOW_S - 5700, machine="pump-7"),
        event("mute", NOW_S - 400, machine="pump-7", value="7200", user="anna"),
        event("warning", NOW_S - 300, machine="pump-7", value="drift", payload={"is_on": True}),
    ]
    store.write({}, events, durable=True)
    shown = auscult("history", "pump-7", "--since", "24h", "--config", config)
    lines = shown.out.splitlines()
    assert "(UTC+05:30)" in lines[0]
    assert "highest score 2.50 x threshold; 1 alert" in lines[1]
    rows = [line.split() for line in lines if line.endswith("100 %")]
    assert 23 <= len(rows) <= 25
    assert {row[2] for row in rows} == {"0.50", "0.52"}  # the second is the hour of the anomaly
    assert max(row[3] for row in rows) == "2.50"
    [*_, raised, acknowledged, label, cleared, mute, warning] = lines
    assert raised == f"{local(NOW_S - 6000)}  alert a raised"
    assert acknowledged.endswith("alert a acknowledged by anna: on my\\nway")
    assert label.endswith("alert a labelled fault by anna")
    assert cleared.endswith("alert a cleared")
    assert mute.endswith("muted for 2 hours by anna")
    assert warning.endswith("warning drift")


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("arm", {"user": "anna"}, "armed by anna"),
        ("learn", {"user": "anna"}, "learned again by anna"),
        ("learn", {"value": "provisional"}, "learning: provisional"),
        ("rollback", {"user": "anna"}, "back to the previous bundle by anna"),
        ("relearn", {"value": "begin", "user": "anna"}, "relearning started by anna"),
        ("relearn", {"value": "accept", "user": "anna"}, "new bundle accepted by anna"),
        ("relearn", {"value": "discard", "user": "anna"}, "new bundle discarded by anna"),
        (
            "updated",
            {"payload": {"ratio": 2.4, "findings": [{"text": "86.0 impacts per second"}]}},
            "alert a updated: 2.40 x threshold; found: 86.0 impacts per second",
        ),
        (
            "cleared",
            {"value": "stopped", "payload": {"findings": [{"text": "a tone"}]}},
            "alert a cleared, stopped; found: a tone",
        ),
        ("cleared", {"payload": {"findings": [3]}}, "alert a cleared"),
        ("evidence", {"value": "lost", "note": "full"}, "sound of alert a lost: full"),
    ],
)
def test_events_state_what_happened(
    store: HistoryStore, config: Path, kind: str, values: dict[str, Any], expected: str
) -> None:
    """A discarded bundle, or sound that is lost, would look like one that is in use, or is kept."""
    one = event(kind, NOW_S - 300, machine="pump-7", alert_id="a", **values)
    store.write({}, [one], durable=True)
    shown = auscult("history", "pump-7", "--since", "24h", "--config", config).out.splitlines()
    assert shown[-1].partition("  ")[2] == expected


def test_what_was_found_is_stated_once(store: HistoryStore, config: Path) -> None:
    """The list would have the same finding again every five minutes."""
    found = {"findings": [{"text": "86.0 impacts per second"}]}
    messages = [{}, {}, found, found, {"findings": [{"text": "a tone"}]}, found]
    events = [
        event("updated", NOW_S - 900 + n, machine="pump-7", alert_id="a", payload=payload)
        for n, payload in enumerate(messages)
    ]
    store.write({}, events, durable=True)
    lines = auscult("history", "pump-7", "--config", config).out.splitlines()
    shown = [line.partition("; found: ")[2] for line in lines if "updated" in line]
    assert shown == ["86.0 impacts per second", "a tone", "86.0 impacts per second"]


def test_json_has_everything(store: HistoryStore, config: Path) -> None:
    """A script would have to read the text."""
    store.write({}, [alert("raised", NOW_S - 60, machine="pump-7")], durable=True)
    times = ("--since", rfc3339(NOW_S - 1200), "--until", rfc3339(NOW_S))
    shown = auscult("history", "pump-7", *times, "--config", config, "--json").json
    assert len(shown["rows"]) == 20
    assert shown["rows"][-1]["minutes"] == 1
    assert shown["alerts"][0]["payload"]["peak_score"] == 3.0
    assert [one["kind"] for one in shown["events"]] == ["raised"]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("store")
def test_the_table_has_every_minute(config: Path, tmp_path: Path) -> None:
    """Values would be lost on the way to a spreadsheet."""
    path = tmp_path / "values.csv"
    done = auscult("history", "pump-7", "--since", "9999d", "--csv", path, "--config", config)
    assert (done.out, "2880 rows" in done.err) == ("", True)
    rows = table(path)
    assert [row["at"] for row in rows] == sorted({row["at"] for row in rows})
    assert sum(int(row["n_scores"]) for row in rows) == 2879 * 2 + 1
    assert max(float(row["ratio_max"]) for row in rows) == 2.5


def test_the_table_has_longer_rows_where_minutes_are_deleted(
    store: HistoryStore, config: Path, tmp_path: Path
) -> None:
    """The export would begin where the minutes begin, without a reason."""
    while store.shrink(Limits(max_bytes=150_000)):
        pass
    path = tmp_path / "values.csv"
    auscult("history", "pump-7", "--since", "9999d", "--csv", path, "--config", config)
    rows = table(path)
    assert {row["minutes"] for row in rows} == {"1", "15"}
    assert sum(int(row["n_scores"]) for row in rows) == 2879 * 2 + 1
    assert len({row["at"] for row in rows}) == len(rows)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["pump-8"], 64, 'no machine "pump-8"; it has: pump-7'),
        (["pump-7", "--since", "yesterday"], 64, "2h or 7d, not yesterday"),
        (["pump-7", "--since", "1h", "--until", "2h"], 64, "--until must be later"),
        (["pump-7", "--csv", "/none/of/this.csv"], 66, "/none/of does not exist"),
        (["--csv", "table.csv"], 64, "--csv needs a machine; the history has: pump-7"),
    ],
)
def test_mistakes_are_explained(config: Path, arguments: list[str], status: int, text: str) -> None:
    """A technician would get a traceback or an empty answer."""
    done = auscult("history", *arguments, "--config", config)
    assert (done.status, text in done.err) == (status, True)


def without_configuration(folder: Path, monkeypatch: pytest.MonkeyPatch, service: Path) -> None:
    """The command runs in ``folder``, and ``service`` has the folders of the service."""
    monkeypatch.chdir(folder)
    for name, path in (("CONFIGS", service / "etc/auscult"), ("STATES", service / "var/lib")):
        monkeypatch.setattr(f"monitor.commands.history_file.SERVICE_{name}", path)
        monkeypatch.setattr(f"monitor.config.state_folder.SERVICE_{name}", path)


@pytest.mark.parametrize("state_dir", ["", "elsewhere"])
def test_the_history_is_found_without_a_configuration(
    store: HistoryStore,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    state_dir: str,
) -> None:
    """A technician would need the path of a file that only root can list."""
    service, other = tmp_path / "service", tmp_path / "other"
    own = service / (state_dir or "var/lib/auscult")
    for folder in (service / "etc/auscult", other, own.parent):
        folder.mkdir(parents=True, exist_ok=True)
    text = f'[service]\nstate_dir = "{own}"\n' if state_dir else ""
    (service / "etc/auscult/config.toml").write_text(text + CONFIG)
    without_configuration(config.parent, monkeypatch, tmp_path / "none")
    assert "highest score 2.50" in auscult("history", "pump-7").out
    own.symlink_to(store.path.parent)
    without_configuration(other, monkeypatch, service)
    assert "highest score 2.50" in auscult("history", "pump-7").out
    named = auscult("history", "pump-7", "--config", service / "etc/auscult/config.toml")
    assert "highest score 2.50" in named.out


def test_every_place_without_a_history_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user of a daemon in another folder would only read about a service that is not there."""
    without_configuration(tmp_path, monkeypatch, tmp_path / "none")
    for content, reason in (
        (None, "this folder has no config.toml"),
        (CONFIG, f"{tmp_path / 'state/history.sqlite3'}, of config.toml in this folder"),
        ("[[machine]]", "config.toml in this folder cannot be used (config.toml"),
    ):
        if content is not None:
            (tmp_path / "config.toml").write_text(content)
        done = auscult("history")
        assert (done.status, reason in done.err) == (66, True), done.err
        assert str(tmp_path / "none/var/lib/auscult/history.sqlite3") in done.err
        assert "--config FILE" in done.err


def test_without_a_machine_all_machines_are_listed(store: HistoryStore, config: Path) -> None:
    """A technician would have to guess names, and would not see which machine has alerts."""
    minutes = {("fan-1", MINUTE - 60 + one): tally(0.5, seconds=30.0) for one in range(30)}
    store.write(minutes, [alert("raised", NOW_S - 600, machine="pump-7")], durable=True)
    since = ("--since", "24h", "--config", config)
    shown = auscult("history", *since)
    rows = [line for line in shown.out.splitlines() if line.startswith(("fan-1 ", "pump-7 "))]
    assert [row.split("  ")[0] for row in rows] == ["fan-1", "pump-7"]
    assert "15 minutes" in rows[0]
    assert local(60.0 * (MINUTE - 31))[:13] in rows[0]
    assert "2.50" in rows[1]
    assert "1 (1 open)" in rows[1]
    fan, pump = auscult("history", *since, "--json").json["machines"]
    assert (fan["machine"], fan["scored_s"], fan["alerts"]) == ("fan-1", 900.0, 0)
    assert (pump["machine"], pump["ratio_max"], pump["open_alerts"]) == ("pump-7", 2.5, 1)


@pytest.mark.parametrize("since", ["1h", "24h", "30d", "400d"])
def test_the_last_value_has_its_own_time(store: HistoryStore, config: Path, since: str) -> None:
    """It would be the start of a long row: a time at which the machine did not exist."""
    last = MINUTE - 31
    minutes = {("fan-1", last - one): tally(0.5) for one in range(90)}
    minutes["fan-1", MINUTE - 5] = Tally(lost_time=600)  # no sound
    store.write(minutes, [], durable=True)
    shown = auscult("history", "--since", since, "--config", config)
    (row,) = [line for line in shown.out.splitlines() if line.startswith("fan-1 ")]
    assert row.endswith(local(60.0 * last))
    fan, pump = auscult("history", "--since", since, "--config", config, "--json").json["machines"]
    assert fan["last_at"] == rfc3339(60.0 * last)
    assert pump["last_at"] == rfc3339(60.0 * (MINUTE - 1))
    before = ("--since", "400d", "--until", rfc3339(60.0 * (MINUTE - 5000)), "--config", config)
    fan, _ = auscult("history", *before, "--json").json["machines"]
    assert fan["last_at"] is None


def test_without_minutes_the_last_value_is_in_an_hour(store: HistoryStore, config: Path) -> None:
    """A machine whose minutes are deleted would look as if it never had values."""
    with contextlib.closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("DELETE FROM minutes")
    (pump,) = auscult("history", "--config", config, "--json").json["machines"]
    assert pump["last_at"] == rfc3339(3600.0 * ((MINUTE - 1) // 60))


@pytest.mark.usefixtures("store")
def test_a_table_can_go_to_standard_output(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with the name "-" would be written, and a pipe would get nothing."""
    monkeypatch.chdir(tmp_path)
    hour = ("--since", rfc3339(NOW_S - 3600.0), "--until", rfc3339(NOW_S))
    arguments = ("history", "pump-7", *hour, "--csv", "-", "--config", config)
    done = auscult(*arguments)
    assert (done.status, done.err) == (0, "")
    assert len(list(csv.DictReader(done.out.splitlines()))) == 60
    assert not (tmp_path / "-").exists()
    both = auscult(*arguments, "--json")
    assert (both.status, "--csv and --json would both" in both.err) == (64, True)


def test_there_is_no_history_yet(config: Path) -> None:
    """A technician would not know whether nothing happened or nothing is kept."""
    done = auscult("history", "pump-7", "--config", config)
    assert (done.status, "no daemon has written a history" in done.err) == (66, True)


def test_a_history_that_is_switched_off_is_named_as_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A technician would wait for a history that is never written."""
    service = tmp_path / "service"
    (service / "etc/auscult").mkdir(parents=True)
    for folder in (tmp_path, service / "etc/auscult"):
        (folder / "config.toml").write_text(f"[history]\nenabled = false\n{CONFIG}")
    without_configuration(tmp_path, monkeypatch, service)
    named = auscult("history", "--config", tmp_path / "config.toml")
    found = auscult("history")
    for done, n_reasons in ((named, 1), (found, 2)):
        assert done.status == 66
        assert done.err.count("config.toml: history.enabled = false") == n_reasons


def test_the_highest_score_is_that_of_an_alert_whose_minute_is_not_written(
    store: HistoryStore, config: Path
) -> None:
    """Just after an alert, its score would be higher than the highest one."""
    peak = {"peak_score": 26.24, "threshold": 4.0}
    raised = alert("raised", NOW_S - 30, machine="pump-7")
    store.write({}, [replace(raised, payload=raised.payload | peak)], durable=True)
    one = auscult("history", "pump-7", "--config", config).out
    assert "highest score 6.56 x threshold; 1 alert" in one
    assert "6.56" in auscult("history", "--config", config).out
