"""Files that version 0.1.0 wrote: bundles, alerts that wait, a configuration.

``previous_version/README.md`` lists them and how they were made. Positions, decisions and
thresholds must be the same. Log-mel and scores may differ in their last digits, because
numpy and ONNX Runtime choose their instructions by the processor.
"""

from __future__ import annotations

import csv
import json
import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from monitor.config.settings import load_config
from monitor.domain import AudioBlock
from monitor.features.log_mel import log_mel_windows
from monitor.model.bundle import load_bundle
from monitor.sources.registry import open_source
from monitor.sources.settings import SimulatedSettings
from tests.command_line import auscult
from tests.daemons import daemon
from tests.mosquitto import Mosquitto, Subscriber
from tests.waiting import wait_for
from training.sound.settings import load_audio_settings

PREVIOUS = Path(__file__).resolve().parent / "previous_version"
BUNDLES = ("pump", "pump-with-reference")
TABLES = ("scores.csv", "files.csv", "alerts.jsonl")
EVERY_NTH_WINDOW = 8
RECORDED_UNTIL_UNIX_S = 1_700_000_000
LARGEST_DIFFERENCE_DB = 1e-4
LARGEST_RELATIVE_DIFFERENCE = 1e-4
MEASURED = frozenset({"score", "peak_score", "loss"})
IDENTIFIERS = frozenset({"event_id", "alert_id"})
# The pump of the bundles, as a source; without a fault.
PUMP: dict[str, Any] = {
    "kind": "simulated",
    "unit": 3,
    "seed": 3,
    "level_dbfs": -50.0,
    "realtime": False,
}


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """A copy of the files."""
    return shutil.copytree(PREVIOUS, tmp_path / "previous_version")


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    """A folder of six healthy recordings of 8 s each."""
    settings = SimulatedSettings.model_validate(PUMP | {"duration_s": 48.0})
    blocks = open_source(settings).blocks(threading.Event())
    samples = np.concatenate([one.samples for one in blocks if isinstance(one, AudioBlock)])
    folder = tmp_path / "healthy"
    folder.mkdir()
    for index, part in enumerate(np.split(samples, 6)):
        soundfile.write(folder / f"{index}.flac", part, settings.sample_rate_hz)
    return folder


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV table, or the objects of JSON lines."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return list(map(json.loads, lines)) if path.suffix == ".jsonl" else list(csv.DictReader(lines))


def assert_same_row(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Equal but for identifiers, the last digits of measured values, and columns at the end."""
    assert list(found)[: len(expected)] == list(expected)
    for name in expected.keys() - IDENTIFIERS:
        if name in MEASURED:
            value = pytest.approx(float(expected[name]), rel=LARGEST_RELATIVE_DIFFERENCE)
            assert float(found[name]) == value, name
        else:
            assert found[name] == expected[name], name


def as_written_now(alert: dict[str, Any]) -> dict[str, Any]:
    """An alert of version 0.1.0, whose ``cleared`` messages had ``bands_hz`` too."""
    return {key: alert[key] for key in alert if (alert["kind"], key) != ("cleared", "bands_hz")}


def as_published_now(alert: dict[str, Any]) -> dict[str, Any]:
    """The same as published, with fields that version 0.1.0 did not have."""
    return alert | {"severity": "alarm", "ratio": alert["score"] / alert["threshold"]}


def keys_of(expected: Any, found: Any) -> Any:
    """``found`` reduced to the keys of ``expected``, at every depth."""
    if isinstance(expected, dict):
        return {key: keys_of(value, found[key]) for key, value in expected.items()}
    if isinstance(expected, list):
        return [keys_of(one, other) for one, other in zip(expected, found, strict=True)]
    return found


@pytest.mark.parametrize("name", BUNDLES)
def test_a_recording_gives_the_same_windows(name: str) -> None:
    """The network of an older bundle receives other input than it was trained on."""
    samples, _ = soundfile.read(PREVIOUS / "sound" / "fault.flac", dtype="float32")
    windows = log_mel_windows(samples, load_bundle(PREVIOUS / "bundles" / name).spec)
    expected = np.load(PREVIOUS / "sound" / "windows.npy", allow_pickle=False)
    kept = windows[::EVERY_NTH_WINDOW]
    assert (kept.dtype, kept.shape) == (expected.dtype, expected.shape)
    assert np.abs(kept - expected).max() < LARGEST_DIFFERENCE_DB


@pytest.mark.parametrize("name", BUNDLES)
def test_a_recording_gives_the_same_scores_and_alerts(
    name: str, previous: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threshold of an older bundle no longer fits its scores."""
    monkeypatch.chdir(previous / "sound")
    options = [part for table in TABLES for part in (f"--{Path(table).stem}", table)]
    began_unix_s = RECORDED_UNTIL_UNIX_S - soundfile.info("fault.flac").duration
    start = datetime.fromtimestamp(began_unix_s, UTC).isoformat()
    bundle = previous / "bundles" / name
    outcome = auscult("replay", bundle, "fault.flac", *options, "--start", start)
    assert outcome.status == 0, outcome.err
    for table in TABLES:
        expected = rows(previous / "replay" / name / table)
        if table == "alerts.jsonl":
            expected = list(map(as_written_now, expected))
        for found, before in zip(rows(Path(table)), expected, strict=True):
            assert_same_row(found, before)


def test_a_bundle_can_be_calibrated(previous: Path, healthy: Path) -> None:
    """A machine needs a new model before its threshold can be changed."""
    folder = previous / "bundles" / "pump-with-reference"
    before = load_bundle(folder)
    outcome = auscult("calibrate", folder, healthy, "--in-place", "--json")
    assert outcome.status == 0, outcome.err
    after = load_bundle(folder)
    assert outcome.json["before"] == before.calibration.model_dump(mode="json")
    assert outcome.json["threshold"] == after.calibration.threshold
    assert after.calibration.score_median == pytest.approx(before.calibration.score_median, rel=0.2)
    assert after.model == before.model


@pytest.mark.slow
def test_a_bundle_can_be_trained_further(previous: Path, healthy: Path, tmp_path: Path) -> None:
    """The weights of an older bundle cannot be read any more."""
    folder, out = previous / "bundles" / "pump", tmp_path / "continued"
    outcome = auscult(
        *("train", "audio", healthy, "--continue", folder, "--out", out),
        *("--epochs", 1, "--seed", 1, "--json"),
    )
    assert outcome.status == 0, outcome.err
    before, after = load_bundle(folder), load_bundle(out)
    assert after.spec == before.spec
    assert after.manifest.network == before.manifest.network


def test_waiting_alerts_are_listed(previous: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of waiting alerts is empty after an upgrade."""
    monkeypatch.setenv("AUSCULT_SERVICE__STATE_DIR", str(previous / "outbox"))
    outcome = auscult("outbox", "--config", previous / "config" / "config.toml", "--json")
    assert outcome.status == 0, outcome.err
    expected = json.loads((previous / "outbox" / "listing.json").read_text())
    expected["alerts"] = list(map(as_written_now, expected["alerts"]))
    assert outcome.json == expected | {"unrecorded": []}


def test_waiting_alerts_are_delivered_and_the_open_one_is_continued(
    previous: Path, tmp_path: Path
) -> None:
    """An upgrade loses alerts, delivers them in another order, or raises one a second time."""
    listed = json.loads((previous / "outbox" / "listing.json").read_text())["alerts"]
    waiting = list(map(as_written_now, listed))
    pump_1 = [alert for alert in waiting if alert["machine"] == "pump-1"]
    pump_2 = [alert for alert in waiting if alert["machine"] == "pump-2"]
    with Mosquitto(tmp_path / "broker") as broker, daemon(tmp_path / "daemon", broker) as upgraded:
        shutil.copytree(previous / "outbox", upgraded.folder / "state")
        upgraded.mqtt(outbox_max_age_days=3650)
        bundle = previous / "bundles" / "pump"
        upgraded.machine("pump-1", bundle, kind="file", path=str(previous / "sound/fault.flac"))
        bundle = previous / "bundles" / "pump-with-reference"
        upgraded.machine("pump-2", bundle, **PUMP, duration_s=12.0)
        with Subscriber(broker) as subscriber:

            def alerts(machine: str) -> list[dict[str, Any]]:
                return list(map(json.loads, subscriber.payloads(f"/{machine}/alert")))

            upgraded.start()
            wait_for(lambda: len(alerts("pump-1")) >= len(pump_1) + 2, 30.0)
            wait_for(lambda: len(alerts("pump-2")) >= len(pump_2) + 1, 30.0)
            upgraded.end()
            *delivered_1, raised, cleared_1 = alerts("pump-1")
            *delivered_2, cleared_2 = alerts("pump-2")
    assert (delivered_1, delivered_2) == (
        list(map(as_published_now, pump_1)),
        list(map(as_published_now, pump_2)),
    )

    new = [(alert["kind"], alert["sequence"]) for alert in (raised, cleared_1)]
    last_1, last_2 = pump_1[-1]["sequence"], pump_2[-1]["sequence"]
    assert new == [("raised", last_1 + 1), ("cleared", last_1 + 2)]
    assert raised["alert_id"] == cleared_1["alert_id"] != pump_1[-1]["alert_id"]

    assert (cleared_2["kind"], cleared_2["sequence"]) == ("cleared", last_2 + 1)
    for name in ("alert_id", "started_at", "peak_score"):
        assert cleared_2[name] == pump_2[-1][name], name


def test_a_configuration_is_accepted_and_means_the_same(previous: Path) -> None:
    """A daemon does not start after an upgrade, or monitors its machines with other settings."""
    path = previous / "config" / "config.toml"
    outcome = auscult("check", "--config", path)
    assert outcome.status == 0, outcome.err

    expected = json.loads((path.parent / "settings.json").read_text())
    settings = {"daemon": load_config(path, {}), "trainer": load_audio_settings(path, {})}
    for name, loaded in settings.items():
        text = json.dumps(loaded.model_dump(mode="json")).replace(f"{path.parent}/", "")
        assert keys_of(expected[name], json.loads(text)) == expected[name]
