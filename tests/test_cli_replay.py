"""`auscult replay`: the tables, the alerts, the exit statuses, publishing."""

from __future__ import annotations

import csv
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
import soundfile

from monitor.model.bundle import Bundle, write_manifest
from tests.bundles import machine_sound
from tests.command_line import RATE_HZ, auscult, configured, write_recordings
from tests.daemons import ROOT
from tests.mosquitto import Mosquitto, Subscriber
from tests.payload_check import check_message
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recordings(Path(tmp_path_factory.mktemp("recordings")) / "all")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_replay_writes_the_documented_tables(
    bundle: Bundle, recordings: Path, tmp_path: Path
) -> None:
    """Scripts that read the tables fail."""
    scores, files, alerts = (tmp_path / name for name in ("s.csv", "f.csv", "a.jsonl"))
    outcome = auscult(
        *("replay", bundle.path, recordings, "--scores", scores),
        *("--files", files, "--alerts", alerts, "--json"),
    )
    assert outcome.status == 0
    table = {Path(row["file"]).name: row for row in rows(files)}
    names = ["file", "seconds", "score", "threshold", "anomalous", "alerts"]
    assert list(rows(files)[0])[:6] == names
    assert str(recordings / "below/healthy-2.wav") in {row["file"] for row in rows(files)}
    assert [table["fault.flac"][key] for key in ("anomalous", "alerts")] == ["1", "1"]
    assert [table["healthy-1.flac"][key] for key in ("anomalous", "alerts")] == ["0", "0"]
    spans = rows(scores)
    assert list(spans[0]) == ["file", "start_s", "end_s", "score", "loss", "threshold", "anomalous"]
    for row in spans:
        assert float(row["end_s"]) - float(row["start_s"]) == pytest.approx(bundle.span_s, abs=0.3)
        assert int(row["anomalous"]) == (float(row["score"]) > float(row["threshold"]))
    messages = [json.loads(line) for line in alerts.read_text().splitlines()]
    assert [one["kind"] for one in messages] == ["raised", "cleared"]
    for message in messages:
        check_message("BASE/m/alert", json.dumps(message).encode())
        assert message["replayed"] is True
        assert message["machine"] == "pump-bundle"
    assert messages[0]["alert_id"] == messages[1]["alert_id"]
    assert outcome.json["alerts"] == messages


@pytest.mark.parametrize(
    ("threshold", "texts"),
    [
        (1e6, ("anomalous in a part", "anomalous in a part: 1 recording.")),
        (1e-6, ("anomalous", "anomalous without an alert: 2 recordings.")),
    ],
)
def test_an_alert_and_the_score_of_a_recording_do_not_contradict_each_other(
    bundle: Bundle,
    recordings: Path,
    tmp_path: Path,
    threshold: float,
    texts: tuple[str, str],
) -> None:
    """A recording that raised an alert is called normal."""
    path = Path(shutil.copytree(bundle.path, tmp_path / "bundle"))
    changes = {"recording_threshold": threshold}
    calibration = bundle.calibration.model_copy(update=changes)
    write_manifest(path, bundle.manifest.model_copy(update={"calibration": calibration}))
    outcome = auscult("replay", path, recordings, "--files", tmp_path / "f.csv")
    faulty = next(line for line in outcome.out.splitlines() if "fault.flac" in line)
    assert faulty.rstrip().endswith(f"  {texts[0]}")
    assert texts[1] in outcome.out
    table = {Path(row["file"]).name: row for row in rows(tmp_path / "f.csv")}
    assert [table["fault.flac"][key] for key in ("anomalous", "alerts")] == ["1", "1"]


def raised_at(bundle: Bundle, recording: Path, *options: str) -> tuple[str, str]:
    """When a replay raises the alert of a recording, and its messages."""
    outcome = auscult("replay", bundle.path, recording, "--json", *options)
    assert outcome.status == 0, outcome.err
    at: str = outcome.json["alerts"][0]["at"]
    return at, outcome.err


def test_replay_dates_alerts_by_the_start_of_the_recording(
    bundle: Bundle, recordings: Path, tmp_path: Path
) -> None:
    """A copied file moves its alerts to the day of the copy."""
    unnamed = recordings / "fault.flac"
    at, said = raised_at(bundle, unnamed)
    assert "1970-01-01T00:00:15" < at < "1970-01-01T00:00:30"
    assert "no start time in the name or metadata of 1 recording" in said
    named = Path(shutil.copy(unnamed, tmp_path / "fault_20261123_101500.flac"))
    dated, said = raised_at(bundle, named)
    assert dated == at.replace("1970-01-01T00:00", "2026-11-23T10:15")
    assert "no start time" not in said
    given, said = raised_at(bundle, named, "--start", "2020-03-18T20:53:00+01:00")
    assert given == at.replace("1970-01-01T00:00", "2020-03-18T19:53")
    assert "no start time" not in said


def test_a_report_has_a_page_for_each_alert_and_an_index(
    bundle: Bundle, recordings: Path, tmp_path: Path
) -> None:
    """A technician searches the folder for the page of an alert."""
    again = Path(shutil.copytree(recordings, tmp_path / "again")) / "fault.flac"
    pages = tmp_path / "new" / "pages"
    options = ("--report", pages)
    assert auscult("replay", bundle.path, recordings / "fault.flac", again, *options).status == 0
    names = sorted(path.name for path in pages.iterdir())
    assert len(names) == 3
    index = (pages / "index.html").read_text()
    assert "<h1>Alerts of pump bundle</h1>" in index
    for name in names:
        assert name == "index.html" or f"href='{name}'" in index
    assert html.escape(str(again)) in index


@pytest.mark.parametrize("stem", [b"pump-\xe9", b"p" * 245, "p\u00fc".encode() * 81, b"a\nb"])
def test_a_report_has_a_page_for_a_recording_of_any_name(
    stem: bytes, bundle: Bundle, recordings: Path, tmp_path: Path
) -> None:
    """A name in Latin-1, or one that has no space for more, ends the report with a traceback."""
    named = tmp_path / os.fsdecode(stem + b".flac")
    shutil.copy(recordings / "fault.flac", named)
    pages = tmp_path / "pages"
    outcome = auscult("replay", bundle.path, named, "--report", pages)
    assert outcome.status == 0, outcome.err
    (page,) = (path.name for path in pages.iterdir() if path.name != "index.html")
    assert f"href='{quote(page)}'" in (pages / "index.html").read_text(encoding="utf-8")


def test_a_report_without_an_alert_leaves_no_folder(
    bundle: Bundle, recordings: Path, tmp_path: Path
) -> None:
    """An empty folder looks like a report that failed."""
    pages, healthy = tmp_path / "pages", recordings / "healthy-1.flac"
    assert auscult("replay", bundle.path, healthy, "--report", pages).status == 0
    assert not pages.exists()
    pages.write_text("a file")
    outcome = auscult("replay", bundle.path, healthy, "--report", pages)
    assert outcome.status == 66
    assert "is a file" in outcome.err


def test_an_unreadable_file_is_a_row_and_the_others_are_done(
    bundle: Bundle, recordings: Path, tmp_path: Path
) -> None:
    """One broken file ends the replay of a night, or is not noticed."""
    (tmp_path / "text.wav").write_text("not sound")
    soundfile.write(tmp_path / "short.wav", machine_sound(0.3), RATE_HZ)
    files = tmp_path / "f.csv"
    outcome = auscult("replay", bundle.path, tmp_path, recordings, "--files", files)
    assert outcome.status == 65
    table = {Path(row["file"]).name: row for row in rows(files)}
    assert len(table) == 5
    assert "text.wav" in table["text.wav"]["error"]
    assert "short" in table["short.wav"]["error"]
    line = next(line for line in outcome.out.splitlines() if "text.wav" in line)
    assert "0.000" not in line
    assert table["text.wav"]["score"] == ""
    assert table["fault.flac"]["error"] == ""
    assert outcome.out.endswith("in 3 recordings; 2 recordings could not be scored\n")


def test_two_tables_are_not_written_to_one_file(
    bundle: Bundle, recordings: Path, tmp_path: Path
) -> None:
    """One table overwrites the other, or a recording."""
    table = tmp_path / "t.csv"
    outcome = auscult("replay", bundle.path, recordings, "--scores", table, "--files", table)
    assert outcome.status == 64
    assert "written by --scores already" in outcome.err
    assert not table.exists()


@pytest.mark.parametrize("option", ["--scores", "--files", "--alerts"])
def test_a_result_can_go_to_standard_output(
    bundle: Bundle,
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
) -> None:
    """A file with the name "-" would be written, and a pipe would get the summary."""
    one = recordings / "fault.flac"
    auscult("replay", bundle.path, one, option, tmp_path / "file")
    monkeypatch.chdir(tmp_path)
    done = auscult("replay", bundle.path, one, option, "-")
    without_ids = [re.sub(r'"(event|alert)_id": "[^"]+"', "", text) for text in
                   (done.out, (tmp_path / "file").read_text())]  # fmt: skip
    assert without_ids[0] == without_ids[1] != ""
    assert "1 alert raised in 1 recording" in done.err
    assert not Path("-").exists()
    for other in (["--json"], ["--files" if option == "--scores" else "--scores", "-"]):
        refused = auscult("replay", bundle.path, one, option, "-", *other)
        assert refused.status == 64


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None,
    reason="root may read everything, and there is no setpriv to give that up",
)
def test_a_file_without_permission_is_a_row(
    bundle: Bundle, recordings: Path, tmp_path: Path
) -> None:
    """One file without permission ends the replay of a night."""
    secret, files = tmp_path / "secret.wav", tmp_path / "f.csv"
    soundfile.write(secret, machine_sound(5), RATE_HZ)
    secret.chmod(0)
    as_anybody = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
    replay = (sys.executable, "-m", "monitor", "replay", bundle.path, secret)
    done = subprocess.run(
        [*(as_anybody if os.geteuid() == 0 else ()), *replay, recordings, "--files", files],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 65, done.stderr
    table = {Path(row["file"]).name: row for row in rows(files)}
    assert "cannot be opened: Permission denied" in table["secret.wav"]["error"]
    assert table["fault.flac"]["alerts"] == "1"


def test_fail_on_alert_is_for_scripts(bundle: Bundle, recordings: Path) -> None:
    """A script cannot stop at a fault."""
    fault, healthy = recordings / "fault.flac", recordings / "healthy-1.flac"
    assert auscult("replay", bundle.path, fault, "--fail-on-alert").status == 1
    assert auscult("replay", bundle.path, healthy, "--fail-on-alert").status == 0
    assert auscult("replay", bundle.path, fault).status == 0


@pytest.mark.parametrize(
    "wrong",
    [
        (["{recordings}/nowhere.wav"], 66, "nowhere.wav"),
        (["{recordings}", "--publish"], 64, "--config"),
        (["{recordings}", "--scores", "/nowhere/s.csv"], 66, "--scores: the folder /nowhere does"),
        (["{recordings}", "--machine", "a/b"], 64, "a/b"),
        (["{recordings}", "--scores", "{recordings}/fault.flac"], 64, "a recording to replay"),
        (["{recordings}", "--start", "2026-11-23T10:15:30Z"], 64, "exactly one recording, not 3"),
        (["{recordings}/fault.flac", "--start", "yesterday"], 64, "yesterday: not a time"),
        (["{recordings}/fault.flac", "--start", "9999-12-31"], 64, "1970 to 2199"),
        (["{recordings}", "--files", "/dev/full"], 69, "/dev/full: cannot be written"),
        (["{recordings}", "--alerts", "/dev/full"], 69, "/dev/full: cannot be written"),
    ],
)
def test_an_impossible_replay_names_the_reason(
    bundle: Bundle, recordings: Path, wrong: tuple[list[str], int, str]
) -> None:
    """The replay of a week ends in a traceback."""
    arguments, status, text = wrong
    outcome = auscult(
        "replay", bundle.path, *(part.format(recordings=recordings) for part in arguments)
    )
    assert (outcome.status, outcome.out) == (status, "")
    assert text in outcome.err


def test_a_replay_can_be_published(
    bundle: Bundle, recordings: Path, tmp_path: Path, broker: Mosquitto
) -> None:
    """Subscribers cannot be tested with recordings."""
    config = configured(tmp_path, bundle.path, broker)
    arguments = ("replay", bundle.path, recordings, "--publish", "--config", config)
    with Subscriber(broker) as subscriber:
        assert auscult(*arguments).status == 0
        assert auscult(*arguments).status == 0
        wait_for(lambda: len(subscriber.payloads("/pump-7/alert")) == 4)
        alerts = [json.loads(payload) for payload in subscriber.payloads("/pump-7/alert")]
    assert all(alert["replayed"] for alert in alerts)
    assert [alert["kind"] for alert in alerts] == ["raised", "cleared"] * 2
    numbers = [alert["sequence"] for alert in alerts]
    assert numbers == sorted(set(numbers))
    assert len({alert["event_id"] for alert in alerts}) == 4


def test_a_replay_uses_the_detector_of_the_machine(
    bundle: Bundle, recordings: Path, tmp_path: Path
) -> None:
    """A replay would raise other alerts than the daemon."""
    config = configured(tmp_path, bundle.path)
    replayed = ("replay", bundle.path, recordings, "--config", config, "--json")
    assert auscult(*replayed).json["alerts"]
    config.write_text(config.read_text() + "\n[machine.detector]\nmin_fault_s = 60\n")
    assert not auscult(*replayed).json["alerts"]
    assert auscult(*replayed, "--machine", "another").json["alerts"]


def test_a_replay_without_a_broker_fails(bundle: Bundle, recordings: Path, tmp_path: Path) -> None:
    """Alerts that were not published are treated as published."""
    config = configured(tmp_path, bundle.path)
    outcome = auscult("replay", bundle.path, recordings, "--publish", "--config", config)
    assert outcome.status == 69
    assert "broker" in outcome.err


@pytest.mark.parametrize("option", ["--scores", "--files", "--alerts"])
def test_a_recording_is_not_overwritten_by_results(
    option: str, bundle: Bundle, recordings: Path, tmp_path: Path
) -> None:
    """``--scores *.wav`` would replace the first recording by a table."""
    recording = Path(shutil.copy(recordings / "below/healthy-2.wav", tmp_path / "A.WAV"))
    content = recording.read_bytes()
    outcome = auscult("replay", bundle.path, recordings, option, recording)
    assert outcome.status == 64
    assert f"{option}: {recording} is a recording and would be overwritten" in outcome.err
    assert recording.read_bytes() == content


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_table_of_a_replay_that_is_stopped_ends_with_a_whole_line(
    number: signal.Signals, bundle: Bundle, recordings: Path, tmp_path: Path
) -> None:
    """Scripts read half a number, and nothing shows that the table is incomplete."""
    scores, many = tmp_path / "s.csv", tmp_path / "many"
    many.mkdir()
    for i in range(400):
        os.link(recordings / "below/healthy-2.wav", many / f"{i}.wav")
    replay = subprocess.Popen(
        [sys.executable, "-m", "monitor", "replay", bundle.path, many, "--scores", scores],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: scores.exists() and scores.stat().st_size > 0, 60)
    replay.send_signal(number)
    _, messages = replay.communicate(timeout=60)
    assert replay.returncode == -number
    assert (
        f"auscult: stopped by {number.name}: results that were written are incomplete" in messages
    )
    assert len({len(row) for row in csv.reader(scores.read_text().splitlines())}) == 1
