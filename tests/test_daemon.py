"""The daemon as a process, with a real broker: what operators and subscribers see."""

from __future__ import annotations

import csv
import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile
import soxr

from monitor.detection.settings import DetectorSettings
from monitor.domain import AudioBlock, FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.bundle import Bundle
from monitor.outbox.queue import Outbox
from monitor.pipeline import Pipeline
from tests.alert_drafts import draft
from tests.bundles import SPEC, machine_sound, make_bundle
from tests.command_line import auscult
from tests.daemons import Daemon, daemon
from tests.disks import FlashCard, fill, small_disk_at
from tests.mosquitto import Mosquitto, Subscriber, retained, wait_for
from tests.payload_check import check_message

pytestmark = pytest.mark.slow

WRONG = "wrong-secret"
RATE_HZ = SPEC.sample_rate_hz


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(Path(tmp_path_factory.mktemp("bundle")))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def watched(tmp_path: Path, broker: Mosquitto) -> Iterator[Daemon]:
    with daemon(tmp_path / "daemon", broker) as one:
        yield one


def healthy_then_faulty() -> FloatArray:
    return np.concatenate([machine_sound(15), machine_sound(15, seed=1, fault=0.3)])


def fault_and_back() -> FloatArray:
    return np.concatenate([healthy_then_faulty(), machine_sound(20, seed=2)])


def documents(subscriber: Subscriber, ending: str) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in subscriber.payloads(ending)]


def states(subscriber: Subscriber, machine: str = "m") -> list[str]:
    words: list[str] = []
    for state in documents(subscriber, f"/{machine}/state"):
        if state["state"] not in words[-1:]:
            words.append(state["state"])
    return words


def test_a_fault_is_raised_and_cleared_and_the_end_is_orderly(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """The daemon would not do its main task."""
    watched.feed("m", bundle.path, fault_and_back())
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 20)
        began_s = time.monotonic()
        assert watched.end(signal.SIGTERM) == 0
        assert time.monotonic() - began_s < 2.0
        wait_for(lambda: subscriber.payloads("/status")[-1:] == [b"stopped"])
        raised, cleared = documents(subscriber, "/m/alert")
    assert (raised["kind"], cleared["kind"]) == ("raised", "cleared")
    assert raised["alert_id"] == cleared["alert_id"]
    assert any(low < 3000 < high for low, high in raised["bands_hz"])
    assert states(subscriber) == ["warming", "ok", "anomaly", "ok", "unavailable"]
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
        watched.wait_until_said("alert raised")
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
        watched.wait_until_said("alert raised")
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
        watched.wait_until_said("alert raised")
        watched.wait_until_said("refuses")
        assert watched.end() == 0
        assert WRONG not in watched.log.read_text()


def test_a_machine_removed_while_the_daemon_was_stopped_is_cleared(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """Its alert would never be cleared, and its last state would stay on the broker."""
    watched.mqtt(discovery=True)
    watched.feed("goes", bundle.path, healthy_then_faulty())
    watched.feed("quiet", bundle.path, machine_sound(15))
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: subscriber.payloads("/goes/alert"), 20)
        wait_for(lambda: subscriber.payloads("/quiet/state"))
        assert watched.end() == 0
        watched.forget_machines()
        watched.feed("comes", bundle.path, machine_sound(15))
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/goes/alert")) == 2, 20)
        assert documents(subscriber, "/goes/alert")[1]["kind"] == "cleared"
        wait_for(lambda: subscriber.payloads("/comes/score"), 20)
    with retained(broker) as topics:
        assert [topic for topic in topics if topic.endswith("/state")] == [
            "auscult/test/comes/state"
        ]
        configs = [json.loads(p) for topic, p in topics.items() if topic.endswith("/config")]
    names = {config["device"]["name"] for config in configs}
    assert names == {"comes", "Auscult auscult/test"}


# The disk.


def health(subscriber: Subscriber) -> dict[str, Any]:
    return (
        documents(subscriber, "/health")[-1]["outbox"] if documents(subscriber, "/health") else {}
    )


def test_a_full_disk_is_reported_and_the_daemon_recovers(
    watched: Daemon, broker: Mosquitto, bundle: Bundle, manager: socket.socket
) -> None:
    """A disk full of log files would end the monitoring, or lose alerts without a report."""
    watched.feed("m", bundle.path, fault_and_back(), speed=15)
    with small_disk_at(watched.folder / "state") as disk, Subscriber(broker) as subscriber:
        filler = fill(disk)
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 30)
        assert health(subscriber)["state"] == "memory"
        assert "full" in health(subscriber)["detail"]
        assert watched.said("alerts are kept in memory")
        assert "in memory" in told(manager, "in memory")
        filler.unlink()
        wait_for(lambda: health(subscriber)["state"] == "ok", 15)
        assert watched.said("the disk accepts alerts again")
        assert health(subscriber)["unwritten"] == 0
        assert watched.end() == 0
    sequences = [alert["sequence"] for alert in documents(subscriber, "/m/alert")]
    assert sequences[1] == sequences[0] + 1


def test_the_daemon_recovers_from_a_disk_that_became_read_only(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """A flash card that became read-only would end the monitoring."""
    watched.feed("m", bundle.path, fault_and_back(), speed=8)
    with FlashCard(watched.folder / "state") as card, Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: subscriber.payloads("/m/score"), 20)
        card.wear_out()
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 30)
        wait_for(lambda: health(subscriber)["state"] == "memory")
        assert watched.said("alerts are kept in memory")
        card.replace()
        wait_for(lambda: health(subscriber)["state"] == "ok", 15)
        assert watched.end() == 0
        raised, cleared = documents(subscriber, "/m/alert")
        assert (raised["sequence"], cleared["sequence"]) == (1, 2)
        with Outbox(watched.folder / "state" / "outbox.sqlite3") as outbox:
            assert outbox.append(draft(machine="m")).sequence == 3


def test_a_damaged_database_is_replaced_while_it_runs(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """One bad sector would end the monitoring or the delivery."""
    watched.feed("m", bundle.path, fault_and_back(), speed=8)
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: subscriber.payloads("/m/score"), 20)
        database = watched.folder / "state" / "outbox.sqlite3"
        database.write_bytes(b"\xaa" * database.stat().st_size)
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 30)
        wait_for(lambda: health(subscriber).get("recoveries") == 1)
        assert health(subscriber)["state"] == "ok"
        assert watched.said("was damaged")
        assert watched.end() == 0
    raised, cleared = documents(subscriber, "/m/alert")
    assert (raised["sequence"], cleared["sequence"]) == (1, 2)
    assert list(database.parent.glob("outbox.sqlite3.damaged-*"))


# Reload.


def test_a_bad_configuration_changes_nothing(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """A reload with a typing error would end the monitoring."""
    watched.feed("m", bundle.path, fault_and_back(), speed=10)
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: "ok" in states(subscriber), 20)
        good = watched.config.read_text()
        for bad, why in (
            (good.replace("port", "prot"), "did you mean"),
            (good.replace(str(bundle.path), "/nowhere"), "/nowhere: no such bundle"),
            ("[[", "not valid TOML"),
        ):
            watched.config.write_text(bad)
            watched.send(signal.SIGHUP)
            watched.wait_until_said(why)
        watched.config.write_text(good + "".join(f"[unknown_{n}]\n" for n in range(9)))
        watched.send(signal.SIGHUP)
        watched.wait_until_said("unknown_8")
        wait_for(lambda: len(subscriber.payloads("/m/alert")) == 2, 30)
        wait_for(lambda: states(subscriber) == ["warming", "ok", "anomaly", "ok"])
        assert watched.end() == 0


def test_added_removed_and_changed_machines_do_not_affect_others(
    watched: Daemon, broker: Mosquitto, bundle: Bundle, tmp_path: Path
) -> None:
    """Adding a machine would interrupt all others."""
    other = make_bundle(tmp_path / "other", span_s=3.0)
    watched.feed("stays", bundle.path, fault_and_back(), speed=10)
    watched.feed("goes", bundle.path, healthy_then_faulty())
    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: len(subscriber.payloads("/goes/alert")) == 1, 20)
        kept = watched._machines[0]
        watched.forget_machines()
        watched._machines.append(kept)
        watched.feed("comes", other.path, healthy_then_faulty())
        watched.write()
        watched.send(signal.SIGHUP)
        watched.wait_until_said("reloaded: machines: 1 added, 1 removed, 1 unchanged")
        wait_for(lambda: subscriber.payloads("/comes/alert"), 20)
        wait_for(lambda: len(subscriber.payloads("/stays/alert")) == 2, 20)
        wait_for(lambda: len(subscriber.payloads("/goes/alert")) == 2, 5)
        assert documents(subscriber, "/goes/alert")[1]["kind"] == "cleared"
        wait_for(lambda: states(subscriber, "stays") == ["warming", "ok", "anomaly", "ok"])
        assert documents(subscriber, "/stays/state")[-1]["coverage"]["lost_s"] == 0.0
        # One sample more or less, and every later number would be another.
        whole = Pipeline(bundle, DetectorSettings()).push(AudioBlock(fault_and_back(), RATE_HZ, 0))
        scores = {one["score"] for one in documents(subscriber, "/stays/score")}
        assert scores <= {score.value for score in whole.scores}
        assert [one["score"] for one in documents(subscriber, "/stays/alert")] == [
            decision.score for decision in whole.decisions
        ]
        with retained(broker) as topics:
            assert "auscult/test/goes/state" not in topics
            machines = json.loads(topics["auscult/test/info"])["machines"]
        assert {one["id"]: one["bundle_sha256"] for one in machines} == {
            "stays": bundle.sha256,
            "comes": other.sha256,
        }


def test_a_reload_changes_the_broker(
    watched: Daemon, broker: Mosquitto, bundle: Bundle, tmp_path: Path
) -> None:
    """A broker with a new address would require a restart of every node."""
    watched.feed("m", bundle.path, fault_and_back(), speed=6)
    with Mosquitto(tmp_path / "second") as second, Subscriber(second) as there:
        with Subscriber(broker) as here:
            watched.start()
            wait_for(lambda: "ok" in states(here), 20)
            watched.mqtt(port=second.port)
            watched.write()
            watched.send(signal.SIGHUP)
            wait_for(lambda: here.payloads("/status")[-1:] == [b"stopped"])
        wait_for(lambda: len(there.payloads("/m/alert")) == 2, 20)
        assert states(there)[0] == "ok"
        assert there.payloads("/status")[0] == b"online"
        assert there.payloads("/info")


def test_reloads_leave_nothing_behind(watched: Daemon, broker: Mosquitto, bundle: Bundle) -> None:
    """A node that is reloaded often would run out of descriptors or threads."""
    watched.mqtt(discovery=True)
    watched.feed("m", bundle.path, machine_sound(120), speed=10)

    def used() -> tuple[int, int]:
        process = psutil.Process(watched.process.pid)
        return process.num_fds(), process.num_threads()

    with Subscriber(broker) as subscriber:
        watched.start()
        wait_for(lambda: subscriber.payloads("/status")[-1:] == [b"online"])
        wait_for(lambda: subscriber.payloads("/m/score"))
        before = used()
        for number in range(1, 11):
            watched.mqtt(score_interval_s=0.5 + number / 1000)  # another plan and connection
            watched.write()
            watched.send(signal.SIGHUP)
            connections = number + 1
            wait_for(lambda n=connections: subscriber.payloads("/status").count(b"online") == n)  # type: ignore[misc]  # bound now
        scores = len(subscriber.payloads("/m/score"))
        wait_for(lambda: len(subscriber.payloads("/m/score")) > scores)
        try:
            wait_for(lambda: used() == before)
        except AssertionError:
            raise AssertionError(f"{before} became {used()}") from None


# The service manager.


@pytest.fixture
def manager(watched: Daemon) -> Iterator[socket.socket]:
    """The messages that systemd would receive."""
    path = watched.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(10)
        watched.environment |= {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "4000000"}
        yield listener


def told(manager: socket.socket, word: str, timeout_s: float = 10.0) -> str:
    """The datagram that holds ``word``, skipping others."""
    deadline_s = time.monotonic() + timeout_s
    while (left_s := deadline_s - time.monotonic()) > 0:
        manager.settimeout(left_s)
        text = manager.recv(4096).decode()
        if word in text:
            return text
    raise AssertionError(f"{word} was not said")


def test_systemd_is_notified_of_every_step(
    watched: Daemon, manager: socket.socket, bundle: Bundle
) -> None:
    """systemd would kill a healthy daemon, or keep one that hangs."""
    watched.feed("m", bundle.path, machine_sound(10))
    watched.start()
    told(manager, "READY=1")
    assert "1 machine" in told(manager, "STATUS=")
    told(manager, "WATCHDOG=1")
    watched.send(signal.SIGHUP)
    assert "MONOTONIC_USEC=" in told(manager, "RELOADING=1")
    told(manager, "READY=1")
    watched.config.write_text("broken")
    watched.send(signal.SIGHUP)
    assert "RELOAD REFUSED" in told(manager, "RELOAD REFUSED")
    watched.send(signal.SIGTERM)
    told(manager, "STOPPING=1")


def test_ready_is_not_sent_before_the_bundles_are_loaded(
    watched: Daemon, manager: socket.socket
) -> None:
    """A service that cannot monitor would be reported as active."""
    watched.machine("m", watched.folder / "nowhere", kind="simulated")
    watched.start()
    assert watched.process.wait(10) == 78
    manager.settimeout(0.2)
    with pytest.raises(TimeoutError):
        told(manager, "READY", 0.2)
    (line,) = watched.log.read_text().splitlines()
    assert line.startswith('auscult: machine "m": ')
    assert "no such bundle" in line


def test_the_journal_shows_where_the_daemon_hung(watched: Daemon, bundle: Bundle) -> None:
    """Nobody could find out why a node hangs once a month."""
    watched.feed("m", bundle.path, machine_sound(10))
    watched.start()
    watched.wait_until_said("ready")
    assert watched.end(signal.SIGABRT) == -signal.SIGABRT
    said = watched.log.read_text()
    assert "Fatal Python error: Aborted" in said
    assert "daemon.py" in said
    assert "publisher.py" in said


def test_an_unplugged_source_does_not_end_the_watchdog_notifications(
    watched: Daemon, manager: socket.socket, bundle: Bundle
) -> None:
    """An unplugged microphone would restart the service again and again."""
    watched.machine("m", bundle.path, kind="command", command=["/nonexistent/recorder"])
    watched.start()
    assert "1 unavailable" in told(manager, "unavailable")
    for _ in range(3):
        told(manager, "WATCHDOG=1")


def test_it_starts_quickly_and_stays_small(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """A small board could not run the daemon."""
    watched.feed("m", bundle.path, machine_sound(60), speed=20)
    with Subscriber(broker) as subscriber:
        began_s = time.monotonic()
        watched.start()
        watched.wait_until_said("ready")
        assert time.monotonic() - began_s < 2.0 * slowness()
        wait_for(lambda: len(subscriber.payloads("/m/score")) > 10, 20)
        memory = psutil.Process(watched.process.pid).memory_info()
    assert memory.rss < 100e6


def slowness() -> float:
    """Allows for a computer that is busy with other work."""
    return max(1.0, psutil.getloadavg()[0] / (psutil.cpu_count() or 1) * 2)


def test_one_daemon_per_state_folder(watched: Daemon, bundle: Bundle, tmp_path: Path) -> None:
    """Two daemons would give the same sequence numbers to different alerts."""
    watched.feed("m", bundle.path, machine_sound(10))
    watched.start()
    watched.wait_until_said("ready")
    with daemon(tmp_path / "second") as second:
        second.feed("m", bundle.path, machine_sound(10))
        second.environment["AUSCULT_SERVICE__STATE_DIR"] = str(watched.folder / "state")
        second.start()
        assert second.process.wait(10) == 69
        assert "another Auscult process" in second.log.read_text()
