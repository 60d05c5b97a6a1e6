"""The log: one event per line, no secrets, a limit for repetitions."""

from __future__ import annotations

import io
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from monitor.alerts import AlertKind
from monitor.detection.settings import DetectorSettings
from monitor.detection.thresholds import thresholds_of
from monitor.domain import AudioBlock, Decision
from monitor.model.bundle import Bundle
from monitor.process import logs
from monitor.service.machine_report import MachineReport
from tests.daemons import ROOT
from tests.scripted_machines import RecordingOutlet

ALERT_KINDS: tuple[AlertKind, ...] = ("raised", "updated", "cleared")

log = logging.getLogger("monitor.test")


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers, root.level)
    yield
    root.handlers, root.level = before
    logging.captureWarnings(capture=False)


def lines_of(log_format: str) -> io.StringIO:
    stream = io.StringIO()
    logs.set_up_logging("info", "json" if log_format == "json" else "text", stream)
    return stream


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_an_event_is_one_line_even_with_a_traceback(log_format: str) -> None:
    """The journal would show one error as thirty events."""
    stream = lines_of(log_format)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        log.exception("it broke", extra={"machine": "pump-7"})
    log.info("after")
    assert len(stream.getvalue().splitlines()) == 2
    assert "ValueError" in stream.getvalue()


def test_json_lines_carry_the_fields_by_name() -> None:
    """Log software could not find the machine of an event."""
    stream = lines_of("json")
    log.warning("source %s", "lost", extra={"machine": "pump-7", "lost_s": 1.5})
    event = json.loads(stream.getvalue())
    assert event["message"] == "source lost"
    assert event["level"] == "warning"
    assert (event["machine"], event["lost_s"]) == ("pump-7", 1.5)


def test_text_lines_carry_the_fields_too() -> None:
    """The journal would not name the machine."""
    stream = lines_of("text")
    fields = {"machine": "pump-7", "detail": "no such device", "bands_hz": ((100.5, 200.0),)}
    log.warning("lost", extra=fields)
    shown = 'lost machine=pump-7 detail="no such device" bands_hz=[[100.5,200.0]]\n'
    assert stream.getvalue().endswith(f"WARNING monitor.test: {shown}")


def test_journal_lines_have_a_priority_and_no_time() -> None:
    """`journalctl -p warning` would show nothing."""
    record = logging.makeLogRecord({"name": "m", "msg": "x", "levelno": logging.WARNING})
    assert logs.TextFormatter(journal=True).format(record) == "<4>m: x"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_passwords_in_addresses_are_masked(log_format: str) -> None:
    """A camera's password would be in the journal."""
    stream = lines_of(log_format)
    log.info("start", extra={"command": ["ffmpeg", "-i", "rtsp://admin:hunter2@cam/1"]})
    log.info("cannot open rtsp://admin:hunter2@cam/1")
    assert "hunter2" not in stream.getvalue()
    assert "rtsp://***@cam/1" in stream.getvalue()


def test_alerts_are_never_left_out(bundle: Bundle, record: RecordingOutlet) -> None:
    """Of twelve alerts in the outbox, only some would be in the log."""
    stream = lines_of("json")
    thresholds = thresholds_of(bundle.calibration, DetectorSettings())
    report = MachineReport("pump-7", bundle, record, 1.0, thresholds=thresholds)
    report.arrived(AudioBlock(np.zeros(16_000, np.float32), 16_000, 0))
    bands = np.zeros(bundle.spec.n_mels, np.float32)
    for _ in range(6):
        for kind in ALERT_KINDS:
            report.alert(Decision(kind, 1, 0, 9.0, 9.0, 8.0, 1.0, 1.0, bands))
    kinds = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert kinds == 6 * [f"alert {kind}" for kind in ALERT_KINDS]


def test_repetitions_are_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that fails again and again would fill the disk with log lines."""
    stream = lines_of("json")
    now = [100.0]
    monkeypatch.setattr("monitor.process.logs.time.monotonic", lambda: now[0])
    for _ in range(50):
        log.warning("lost", extra={"machine": "a"})
    log.warning("lost", extra={"machine": "b"})
    now[0] += logs.RepeatFilter.PERIOD_S
    log.warning("lost", extra={"machine": "a"})
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["machine"] for event in events] == ["a"] * 5 + ["b", "a"]
    assert events[-1]["repeated"] == 45


@pytest.mark.parametrize("user", ["anna", "board"])
def test_a_count_does_not_belong_to_the_values_of_another_record(
    user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused logins of one user would be counted as those of another one."""
    stream = lines_of("json")
    now = [100.0]
    monkeypatch.setattr("monitor.process.logs.time.monotonic", lambda: now[0])
    for _ in range(10):
        log.warning("login refused", extra={"user": "anna"})
    now[0] += logs.RepeatFilter.PERIOD_S
    log.warning("login refused", extra={"user": user})
    last = json.loads(stream.getvalue().splitlines()[-1])
    counted = {"anna": "repeated", "board": "similar_left_out"}[user]
    assert {key: last.get(key) for key in ("user", counted)} == {"user": user, counted: 5}
    assert len(last.keys() & {"repeated", "similar_left_out"}) == 1


def test_different_reasons_are_counted_separately() -> None:
    """The tenth mistake in a file, or a new error of the broker, would not be logged."""
    stream = lines_of("json")
    reasons = [f"line {number}: no such key" for number in range(20)]
    for reason in reasons:
        for _ in range(10):
            log.error("%s", reason)
    said = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert said == [reason for reason in reasons for _ in range(logs.RepeatFilter.BURST)]


CHANGING = [
    "ffmpeg ended with status 1: [tcp @ 0x{n:012x}] Connection refused",
    "ffmpeg ended with status 1: [rtsp @ 0x55{n:x}f0] / [in#0 @ 0x7f{n:x}] Input/output error",
    "rtl_fm ended: 2026-11-28 21:{m:02d}:{s:02d}.{n:03d} device lost",
    "[{m:02d}:{s:02d}:{s:02d}] gst-launch: no data",
    "cannot read 192.168.1.7:{port}: Connection reset by peer",
    "cannot read [fe80::1]:{port}: Connection reset by peer",
    "rtpdump[{n}]: malformed packet",
    "dropped packet {n} of the stream",
    "frame={n:5d} fps= 25 q=-0.0 size={n:8d}kB time=00:{m:02d}:{s:02d}.{s:02d} speed={m}.{s:02d}x",
    "arecord: overrun of {m}.{s:03d} ms",
    "stream 7f0e8a90-1111-4222-8333-{n:012x} has ended",
    "any program: retry-{n}abc",
]


@pytest.mark.parametrize("template", CHANGING)
def test_a_message_that_changes_only_in_counters_and_addresses_is_a_repetition(
    template: str,
) -> None:
    """A source that fails every second would write a line each time, and fill the disk."""
    stream = lines_of("json")
    written = [
        template.format(n=number, m=number % 60, s=(7 * number) % 60, port=32_000 + number)
        for number in range(1, 1_001)
    ]
    for message in written:
        log.warning("%s", message)
    said = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert said[: logs.RepeatFilter.BURST] == written[: logs.RepeatFilter.BURST]
    assert len(said) <= logs.RepeatFilter.MAX_VARIANTS + logs.RepeatFilter.BURST
    if "any program" not in template:
        assert len(said) == logs.RepeatFilter.BURST


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("config.toml:12: mqtt.port is wrong", "config.toml:13: mqtt.port is wrong"),
        ("camera 1: 404 Not Found", "camera 1: 403 Forbidden"),
        ("ffmpeg ended with status 1", "ffmpeg ended with status 2"),
        ("machine pump-1 has ended", "machine pump-2 has ended"),
        ("broker 192.168.1.7: refused", "broker 192.168.1.8: refused"),
    ],
)
def test_a_number_that_names_something_makes_another_event(one: str, other: str) -> None:
    """The second mistake, machine or reason would not be logged."""
    stream = lines_of("json")
    for _ in range(20):
        log.warning("%s", one)
    log.warning("%s", other)
    assert json.loads(stream.getvalue().splitlines()[-1])["message"] == other


@pytest.mark.parametrize("number", [signal.SIGBUS, signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_writes_where_the_process_was(number: signal.Signals) -> None:
    """Nobody could find why a daemon ended by itself."""
    program = (
        "import os; from monitor.process.logs import trace_crashes\n"
        f"def here(): os.kill(os.getpid(), {number.value})\n"
        "trace_crashes(); here()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == -number
    assert "in here" in ended.stderr
