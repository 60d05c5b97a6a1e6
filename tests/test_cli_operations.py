"""`selftest`, `outbox`, `record`, `devices`, `discovery`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from monitor.detection.alert_draft import alert_draft
from monitor.detection.settings import DetectorSettings
from monitor.domain import AudioBlock
from monitor.model.bundle import Bundle
from monitor.outbox.queue import Outbox
from monitor.pipeline import Pipeline
from tests.alert_drafts import draft
from tests.bundles import SPEC, machine_sound
from tests.command_line import RATE_HZ, Outcome, auscult, configured, write_recordings
from tests.daemons import ROOT, daemon
from tests.mosquitto import Mosquitto, Subscriber, retained
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recordings(Path(tmp_path_factory.mktemp("recordings")) / "all")


def test_selftest_checks_everything(bundle: Bundle, tmp_path: Path, broker: Mosquitto) -> None:
    """A node that cannot work would pass."""
    soundfile.write(tmp_path / "well.wav", machine_sound(12, seed=9), RATE_HZ)
    path = str(tmp_path / "well.wav")
    config = configured(tmp_path, bundle.path, broker, kind="file", path=path)
    outcome = auscult("selftest", "--config", config)
    assert outcome.status == 0, outcome
    assert [line.split()[:2] for line in outcome.out.splitlines()] == [
        ["ok", "config"],
        ["ok", "bundle"],
        ["ok", "broker"],
        ["ok", "alert"],
        ["ok", "scores"],
        ["ok", "source"],
        ["ok", "fit"],
    ]
    assert all(one["ok"] for one in auscult("selftest", "--config", config, "--json").json)


def test_selftest_reports_failures_and_checks_the_rest(tmp_path: Path) -> None:
    """An unreachable broker would hide a broken microphone."""
    config = configured(
        tmp_path, tmp_path / "nowhere", kind="file", path=str(tmp_path / "nothing.wav")
    )
    outcome = auscult("selftest", "--config", config)
    assert outcome.status == 78
    assert [line.split()[:2] for line in outcome.out.splitlines()] == [
        ["ok", "config"],
        ["FAILED", "bundle"],
        ["FAILED", "broker"],
        ["FAILED", "source"],
    ]
    assert "nothing.wav" in outcome.out


def test_selftest_does_not_wait_for_seconds_of_log_mel_without_a_bundle(tmp_path: Path) -> None:
    """An operator would wait half a minute for a test without a result."""
    np.save(tmp_path / "a.npy", np.full((600, SPEC.n_mels), -40.0, np.float32), allow_pickle=False)
    config = configured(
        tmp_path, tmp_path / "nowhere", kind="logmel", path=str(tmp_path / "a.npy"), realtime=True
    )
    begun_s = time.monotonic()
    outcome = auscult("selftest", "--config", config)
    assert time.monotonic() - begun_s < 10
    assert outcome.out.splitlines()[-1].endswith(f"received as log-mel with {SPEC.n_mels} bands")


def test_selftest_reports_silence(bundle: Bundle, tmp_path: Path, broker: Mosquitto) -> None:
    """A muted microphone would pass."""
    soundfile.write(tmp_path / "silence.wav", np.zeros(5 * RATE_HZ), RATE_HZ)
    path = str(tmp_path / "silence.wav")
    config = configured(tmp_path, bundle.path, broker, kind="file", path=path)
    outcome = auscult("selftest", "--config", config)
    assert outcome.status == 69
    assert "silence" in outcome.out.splitlines()[-1]


def test_selftest_reports_a_bundle_of_another_machine(
    bundle: Bundle, tmp_path: Path, broker: Mosquitto
) -> None:
    """A bundle would be used on a machine that it was not trained for."""
    soundfile.write(tmp_path / "other.wav", machine_sound(12, fault=0.3), RATE_HZ)
    path = str(tmp_path / "other.wav")
    config = configured(tmp_path, bundle.path, broker, kind="file", path=path)
    outcome = auscult("selftest", "--config", config)
    assert outcome.status == 65
    assert "The machine is faulty, or the bundle does not fit it." in outcome.out.splitlines()[-1]


def test_outbox_lists_what_waits(bundle: Bundle, recordings: Path, tmp_path: Path) -> None:
    """An operator could not see that alerts are not delivered."""

    config = configured(tmp_path, bundle.path)
    assert auscult("outbox", "--config", config).status == 66
    samples = soundfile.read(recordings / "fault.flac", dtype="float32")[0]
    output = Pipeline(bundle, DetectorSettings()).push(AudioBlock(samples, RATE_HZ, 0))
    with Outbox(tmp_path / "state" / "outbox.sqlite3") as outbox:
        for decision in output.decisions:
            outbox.append(alert_draft(decision, bundle, "pump-7", lambda s: 1.8e9 + s))
        shown = auscult("outbox", "--config", config, "--json").json["alerts"]
    assert [alert["kind"] for alert in shown] == ["raised", "cleared"]
    assert "2 alerts not acknowledged" in auscult("outbox", "--config", config).out


def test_outbox_names_what_is_delivered_and_not_in_the_history(
    bundle: Bundle, tmp_path: Path
) -> None:
    """An alert that the broker has would be taken for one that it has not, or not be seen."""
    config = configured(tmp_path, bundle.path)
    with Outbox(tmp_path / "state" / "outbox.sqlite3") as outbox:
        delivered, waiting = outbox.append(draft("raised")), outbox.append(draft("updated"))
        outbox.acknowledge(delivered.event_id, is_recorded=False)
        shown = auscult("outbox", "--config", config, "--json").json
        lines = auscult("outbox", "--config", config).out.splitlines()
    ids = {key: [one["event_id"] for one in shown[key]] for key in ("alerts", "unrecorded")}
    assert ids == {"alerts": [waiting.event_id], "unrecorded": [delivered.event_id]}
    assert waiting.event_id in lines[0]
    assert lines[1] == "1 alert not acknowledged"
    assert delivered.event_id in lines[2]
    assert lines[3] == "1 alert delivered, kept until history and evidence are written (unrecorded)"


def test_record_gives_recordings_for_training(bundle: Bundle, tmp_path: Path) -> None:
    """Recordings would differ from the sound that the daemon receives."""
    soundfile.write(tmp_path / "long.wav", machine_sound(60), RATE_HZ)
    config = configured(tmp_path, bundle.path, kind="file", path=str(tmp_path / "long.wav"))
    out = tmp_path / "recorded"
    outcome = auscult(
        *("record", "pump-7", "--config", config, "--out", out, "--seconds", 45, "--json")
    )
    assert outcome.status == 0, outcome.err
    files = outcome.json["files"]
    assert len(files) == 4
    received = np.concatenate([soundfile.read(path, dtype="float32")[0] for path in files])
    assert len(received) == 45 * RATE_HZ
    assert np.abs(received - machine_sound(60)[: len(received)]).max() < 1e-4
    assert sorted(map(str, out.iterdir())) == files
    assert outcome.json["complaints"] == []


def test_record_fails_when_a_source_gives_no_sound(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording without sound would wait without end."""
    monkeypatch.setattr("monitor.commands.record.SOUND_TIMEOUT_S", 1.0)
    config = configured(tmp_path, bundle.path, kind="command", command=["/nonexistent/recorder"])
    began_s = time.monotonic()
    outcome = auscult(
        "record", "pump-7", "--config", config, "--out", tmp_path / "out", "--seconds", 5
    )
    assert outcome.status == 69
    assert "recorder" in outcome.err
    assert time.monotonic() - began_s < 5


def test_record_reports_when_the_source_ended_early(bundle: Bundle, tmp_path: Path) -> None:
    """A script would train on a third of the requested sound."""
    soundfile.write(tmp_path / "short.wav", machine_sound(12), RATE_HZ)
    config = configured(tmp_path, bundle.path, kind="file", path=str(tmp_path / "short.wav"))
    arguments = ("record", "pump-7", "--config", config, "--out", tmp_path / "out")
    outcome = auscult(*arguments, "--seconds", 45, "--json")
    assert outcome.status == 69
    assert "only 12 of 45 s recorded: the source ended" in outcome.err
    assert outcome.json["seconds"] == 12.0


def recording_process(
    bundle: Bundle, folder: Path, seconds: float, *wrapper: str
) -> subprocess.Popen[str]:
    """`record` as a process on a simulated machine in real time; returns when a file is begun."""
    config = configured(folder, bundle.path)
    out = folder / "out"
    command = [*wrapper, sys.executable, "-m", "monitor", "record", "pump-7", "--config", config]
    process = subprocess.Popen(
        [*map(str, command), "--out", str(out), "--seconds", str(seconds), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    wait_for(lambda: out.is_dir() and any(part.stat().st_size for part in out.iterdir()), 20)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_record_completes_its_file_when_it_is_stopped(
    number: signal.Signals, bundle: Bundle, tmp_path: Path
) -> None:
    """Up to five minutes of sound would be lost when a session or the computer ends."""
    process = recording_process(bundle, tmp_path, 600)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    [path] = (tmp_path / "out").iterdir()
    assert path.suffix == ".flac"
    assert len(soundfile.read(path)[0]) == round(json.loads(out)["seconds"] * RATE_HZ)
    assert f"stopped by {number.name} after" in err
    assert "Traceback" not in err


def test_record_under_nohup_continues_after_a_hangup(bundle: Bundle, tmp_path: Path) -> None:
    """A recording over night would end with the session that began it."""
    process = recording_process(bundle, tmp_path, 3, "nohup")
    process.send_signal(signal.SIGHUP)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert json.loads(out)["seconds"] == 3.0


def record_file(
    bundle: Bundle,
    folder: Path,
    samples: np.ndarray[Any, Any],
    seconds: float,
    *options: str,
    terminal: bool = False,
) -> Outcome:
    """The outcome of `record` on a source that plays ``samples``, into ``folder / "out"``."""
    soundfile.write(folder / "source.wav", samples, RATE_HZ)
    config = configured(folder, bundle.path, kind="file", path=str(folder / "source.wav"))
    out = folder / "out"
    arguments = ("record", "pump-7", "--config", config, "--out", out, "--seconds", seconds)
    return auscult(*arguments, *options, terminal=terminal)


@pytest.mark.parametrize("value", [0.0, 0.3], ids=["muted", "stuck"])
def test_record_fails_when_everything_is_silent(
    bundle: Bundle, tmp_path: Path, value: float
) -> None:
    """A muted microphone would be noticed in training, after days of recording."""
    outcome = record_file(bundle, tmp_path, np.full(30 * RATE_HZ, value), 25)
    assert outcome.status == 69
    assert "only silence was recorded" in outcome.err
    assert "not muted" in outcome.err
    assert list((tmp_path / "out").iterdir()) == []


def test_record_names_inverted_channels(bundle: Bundle, tmp_path: Path) -> None:
    """The operator would look for a muted microphone."""
    sound = machine_sound(6)
    outcome = record_file(bundle, tmp_path, np.stack([sound, -sound], axis=1), 5)
    assert outcome.status == 69
    assert "the channels cancel each other" in outcome.err
    assert "muted" not in outcome.err
    assert list((tmp_path / "out").iterdir()) == []


def test_record_keeps_sound_with_a_pause(bundle: Bundle, tmp_path: Path) -> None:
    """A recording of a machine that was switched off for a while would be lost."""
    samples = np.concatenate([machine_sound(6), np.zeros(6 * RATE_HZ, np.float32)])
    outcome = record_file(bundle, tmp_path, samples, 12, "--json")
    assert outcome.status == 0, outcome.err
    assert outcome.json["complaints"] == ["silence"]
    assert len(outcome.json["files"]) == 1


def test_record_prints_its_warning_on_a_line_of_its_own(bundle: Bundle, tmp_path: Path) -> None:
    """The warning would be mixed with the counter of seconds."""
    samples = np.concatenate([machine_sound(6), np.zeros(6 * RATE_HZ, np.float32)])
    outcome = record_file(bundle, tmp_path, samples, 12, terminal=True)
    lines = outcome.err.split("\n")
    shown = [line.rsplit("\r\x1b[K", 1)[-1] for line in lines]
    warnings = [line for line in shown if "silence" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith("auscult: pump-7: digital silence: ")
    assert "12.0 of 12 s" in outcome.err


def test_record_shows_progress_without_a_terminal(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log of a long recording would not show whether it works."""
    monkeypatch.setattr("monitor.commands.record.PROGRESS_INTERVAL_S", 0.0)
    outcome = record_file(bundle, tmp_path, machine_sound(12), 12)
    assert outcome.err.splitlines()[-1] == "auscult: pump-7: 12 of 12 s recorded"


def test_record_of_an_unknown_machine_names_the_configured_ones(
    bundle: Bundle, tmp_path: Path
) -> None:
    """A typing error would give a traceback."""
    config = configured(tmp_path, bundle.path)
    outcome = auscult("record", "pump", "--config", config, "--out", tmp_path, "--seconds", 5)
    assert outcome.status == 64
    assert "pump-7" in outcome.err


def test_devices_answers_in_json() -> None:
    """A set-up script could not select a microphone."""
    outcome = auscult("devices", "--json")
    if outcome.status == 69:
        pytest.skip("PortAudio is not installed")
    assert isinstance(outcome.json, list)


def test_discovery_is_removed_on_request(bundle: Bundle, tmp_path: Path, broker: Mosquitto) -> None:
    """Devices of a removed node would stay in Home Assistant."""
    with daemon(tmp_path, broker) as watched:
        watched.mqtt(discovery=True)
        watched.machine("pump-7", bundle.path, kind="simulated")
        with Subscriber(broker, "homeassistant/#") as home_assistant:
            watched.start()
            wait_for(lambda: len(home_assistant.messages("/config")) == 2)
        watched.end()
    removed = auscult("discovery", "--remove", "--config", watched.config, "--json").json
    assert len(removed["removed"]) == 2
    with retained(broker) as topics:
        assert not [topic for topic in topics if topic.startswith("homeassistant/")]
