"""The daemon as a process, with a real broker: what subscribers receive."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
import soxr

from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.bundle import Bundle
from monitor.outbox.queue import Outbox
from tests.bundles import SPEC, machine_sound, make_bundle
from tests.command_line import auscult
from tests.daemons import Daemon, daemon, documents, fault_and_back, healthy_then_faulty, states
from tests.mosquitto import Mosquitto, Subscriber, retained
from tests.payload_check import check_message
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

WRONG = "wrong-secret"
RATE_HZ = SPEC.sample_rate_hz


def test_a_fault_is_raised_and_cleared_and_the_end_is_orderly(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """The daemon would not do its main task."""
    watched.feed("m", bundle.path, fault_and_back())
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 20)
        wait_for(lambda: states(subscriber)[-1:] == ["ok"], 20)
        began_s = time.monotonic()
        assert watched.end(signal.SIGTERM) == 0
        assert time.monotonic() - began_s < 2.0
        wait_for(lambda: subscriber.payloads("/status")[-1:] == [b"stopped"])
        raised, cleared = documents(subscriber, "/m/alert")
    assert (raised["kind"], cleared["kind"]) == ("raised", "cleared")
    assert raised["alert_id"] == cleared["alert_id"]
    assert any(low < 3000 < high for low, high in raised["bands_hz"])
    published = states(subscriber)  # a state that is replaced before it is sent is not published
    assert published[0] == "warming"
    assert published[-3:] == ["anomaly", "ok", "unavailable"]
    assert subscriber.payloads("/status") == [b"online", b"stopped"]
    for message in subscriber.messages():
        check_message(message.topic, message.payload)
    assert subscriber.payloads("/m/score")
    assert subscriber.payloads("/info")
    with retained(broker) as topics:
        assert topics["auscult/test/status"] == b"stopped"
        assert json.loads(topics["auscult/test/m/state"])["reason"] == "stopped"


def test_the_stop_is_quick_with_a_broker_that_hangs(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """systemd would kill the daemon while it writes an alert."""
    watched.feed("m", bundle.path, healthy_then_faulty(), speed=5)
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: subscriber.payloads("/m/score"), 20)
        broker.pause()
        watched.wait_for_log("alert raised")
        began_s = time.monotonic()
        assert watched.end(signal.SIGTERM) == 0
        assert time.monotonic() - began_s < 2.0 * slowness()
        broker.resume()
    with Outbox(watched.folder / "state" / "outbox.sqlite3") as outbox:
        assert [alert.kind for alert in outbox.pending()][:1] == ["raised"]


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 44_100])
def test_live_and_replayed_sound_get_the_same_scores(
    watched: Daemon, broker: Mosquitto, tmp_path: Path, rate_hz: int
) -> None:
    """A threshold tested on recordings would not be valid for live sound."""
    # Below what resampling cuts off, so that the sound is healthy at every rate.
    bundle = make_bundle(tmp_path / "bundle", spec=LogMelSpec(f_max_hz=7_000.0))
    samples = np.asarray(soxr.resample(fault_and_back(), RATE_HZ, rate_hz), np.float32)
    recording, table = tmp_path / "a.wav", tmp_path / "scores.csv"
    soundfile.write(recording, samples, rate_hz, subtype="FLOAT")
    replayed = auscult("replay", bundle.path, recording, "--scores", table, "--json").json
    watched.feed("m", bundle.path, samples, speed=10, sample_rate_hz=rate_hz)
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 30)
        alerts = documents(subscriber, "/m/alert")
        scores = [one["score"] for one in documents(subscriber, "/m/score")]
    with table.open(newline="") as file:
        expected = [float(row["score"]) for row in csv.DictReader(file)]
    assert len(scores) > len(expected) / 2
    assert set(scores) <= set(expected)
    same = ("kind", "score", "peak_score", "loss", "threshold", "bands_hz", "bundle_sha256")
    assert [[one.get(key) for key in same] for one in alerts] == [
        [one.get(key) for key in same] for one in replayed["alerts"]
    ]


def test_an_alert_survives_a_dead_broker_and_a_killed_daemon(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """An alert would be lost when broker and daemon fail together."""
    with Subscriber(broker) as subscriber:
        broker.stop()
        watched.feed("m", bundle.path, healthy_then_faulty())
        watched.start()
        watched.wait_for_log("alert raised")
        watched.end(signal.SIGKILL)
        watched.forget_machines()
        watched.feed("m", bundle.path, machine_sound(20))
        broker.start()
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) >= 2, 20)
        time.sleep(0.5)
        alerts = documents(subscriber, "/m/alert")
    raised, cleared = alerts
    assert (raised["kind"], cleared["kind"]) == ("raised", "cleared")
    assert raised["alert_id"] == cleared["alert_id"]
    assert raised["event_id"] != cleared["event_id"]
    assert cleared["sequence"] == raised["sequence"] + 1
    assert cleared["started_at"] == raised["started_at"]


def test_a_refused_password_is_reported_and_the_daemon_continues(
    tmp_path: Path, bundle: Bundle
) -> None:
    """A changed password would end the monitoring, or not be reported."""
    with (
        Mosquitto(tmp_path / "broker", users={"auscult": "right"}) as broker,
        daemon(tmp_path / "daemon", broker) as watched,
    ):
        watched.mqtt(username="auscult")
        watched.environment["AUSCULT_MQTT__PASSWORD"] = WRONG
        watched.feed("m", bundle.path, healthy_then_faulty())
        watched.start()
        watched.wait_for_log("alert raised")
        watched.wait_for_log("refuses")
        assert watched.end() == 0
        assert WRONG not in watched.log.read_text()


def test_it_starts_quickly_and_stays_small(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """A small board could not run the daemon."""
    watched.feed("m", bundle.path, machine_sound(60), speed=20)
    with Subscriber(broker) as subscriber:
        began_s = time.monotonic()
        watched.start()
        watched.wait_for_log("ready")
        assert time.monotonic() - began_s < 2.0 * slowness()
        wait_for(lambda: len(subscriber.payloads("/m/score")) > 10, 20)
        memory = psutil.Process(watched.process.pid).memory_info()
    assert memory.rss < 110e6


def slowness() -> float:
    """Allows for a computer that is busy with other work."""
    return max(1.0, psutil.getloadavg()[0] / (psutil.cpu_count() or 1) * 2)


def test_one_daemon_per_state_folder(watched: Daemon, bundle: Bundle, tmp_path: Path) -> None:
    """Two daemons would give the same sequence numbers to different alerts."""
    watched.feed("m", bundle.path, machine_sound(10))
    watched.start()
    watched.wait_for_log("ready")
    with daemon(tmp_path / "second") as second:
        second.feed("m", bundle.path, machine_sound(10))
        second.environment["AUSCULT_SERVICE__STATE_DIR"] = str(watched.folder / "state")
        for is_deleted in (False, True):
            if is_deleted:
                shutil.rmtree(watched.folder / "state")
                watched.wait_for_log("was deleted or replaced: its alerts are written again")
            second.start()
            assert second.process.wait(30) == 69
            assert "another Auscult process" in second.log.read_text().splitlines()[-1]
