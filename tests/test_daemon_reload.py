"""The daemon as a process, when its configuration changes."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import psutil
import pytest

from monitor.detection.settings import DetectorSettings
from monitor.domain import AudioBlock
from monitor.model.bundle import Bundle
from monitor.pipeline import Pipeline
from tests.bundles import SPEC, machine_sound, make_bundle
from tests.daemons import Daemon, documents, fault_and_back, healthy_then_faulty, states
from tests.mosquitto import Mosquitto, Subscriber, retained
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

RATE_HZ = SPEC.sample_rate_hz


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
            watched.wait_for_log(why)
        watched.config.write_text(good + "".join(f"[unknown_{n}]\n" for n in range(9)))
        watched.send(signal.SIGHUP)
        watched.wait_for_log("unknown_8")
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
        watched.wait_for_log("reloaded: machines: 1 added, 1 removed, 1 unchanged")
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
