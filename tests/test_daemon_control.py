"""The commands of operators against the real daemon."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from monitor.model.bundle import Bundle
from tests.bundles import machine_sound, make_bundle
from tests.command_line import Outcome, auscult
from tests.daemons import (
    Daemon,
    daemon,
    documents,
    fault_and_back,
    healthy_then_faulty,
    states,
)
from tests.mosquitto import Mosquitto, Subscriber
from tests.payload_check import check_message
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(Path(tmp_path_factory.mktemp("bundle")))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def watched(tmp_path: Path, broker: Mosquitto) -> Iterator[Daemon]:
    with (
        TemporaryDirectory(prefix="auscult-") as runtime,
        daemon(tmp_path / "daemon", broker) as one,
    ):
        one.environment["RUNTIME_DIRECTORY"] = runtime
        yield one


def ask(watched: Daemon, *arguments: str) -> Outcome:
    """Run a command for this daemon."""
    socket = Path(watched.environment["RUNTIME_DIRECTORY"]) / "control.sock"
    return auscult(*arguments, "--socket", socket)


def started(watched: Daemon) -> None:
    """Start the daemon, and wait until it answers."""
    watched.start()
    wait_for(lambda: ask(watched, "status").status == 0, 20)


def test_a_muted_fault_is_raised_when_the_mute_ends_also_after_a_kill(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """A fault that begins during a mute would be lost, or a restart would end the mute."""
    watched.feed("m", bundle.path, machine_sound(30, seed=1, fault=0.3), speed=10)
    with Subscriber(broker) as subscriber:
        started(watched)
        muted = ask(watched, "mute", "m", "--for", "1h", "--note", "oil\x1b[31m change")
        assert (muted.status, muted.err) == (0, "")
        assert re.match(r"m: muted until 20\S+ \d\d:\d\d UTC[+-]\d\d:\d\d\n", muted.out)
        watched.wait_for_log("alert raised during a mute")
        wait_for(lambda: documents(subscriber, "/m/state")[-1].get("muted_alerts") == 1)
        state = documents(subscriber, "/m/state")[-1]
        assert (state["state"], state["state_without_mute"]) == ("muted", "anomaly")
        assert state["alert_id"] is None
        watched.end(signal.SIGKILL)
        started(watched)
        table = ask(watched, "status").out
        assert "1 alert held back" in table
        assert "oil\\x1b[31m change" in table
        assert documents(subscriber, "/m/alert") == []
        assert ask(watched, "unmute", "m").out == "m: no longer muted, 1 alert held back\n"
        wait_for(lambda: documents(subscriber, "/m/alert"))
        (raised,) = documents(subscriber, "/m/alert")
        assert (raised["kind"], raised["sequence"]) == ("raised", 1)
        wait_for(lambda: documents(subscriber, "/m/state")[-1]["alert_id"] == raised["alert_id"])
        for message in subscriber.messages():
            check_message(message.topic, message.payload)
    assert watched.end() == 0


def test_a_mute_ends_by_itself(watched: Daemon, broker: Mosquitto, bundle: Bundle) -> None:
    """A machine would stay muted for ever."""
    watched.feed("m", bundle.path, machine_sound(60, seed=1, fault=0.3), speed=10)
    with Subscriber(broker) as subscriber:
        started(watched)
        assert ask(watched, "mute", "m", "--for", "5s").status == 0
        watched.wait_for_log("alert raised during a mute")
        watched.wait_for_log("the mute has ended")
        wait_for(lambda: documents(subscriber, "/m/alert"))
        wait_for(lambda: states(subscriber)[-2:] == ["muted", "anomaly"])
        assert documents(subscriber, "/m/state")[-1]["muted_until"] is None


def test_an_alert_is_acknowledged_and_labelled(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """Two technicians would go to the same machine, and nobody would know what an alert was."""
    watched.feed("m", bundle.path, healthy_then_faulty(), speed=10)
    with Subscriber(broker) as subscriber:
        started(watched)
        wait_for(lambda: documents(subscriber, "/m/alert"), 20)
        alert_id = documents(subscriber, "/m/alert")[0]["alert_id"]
        (machine,) = json.loads(ask(watched, "status", "--json").out)["machines"]
        assert machine["alert"]["alert_id"] == alert_id
        assert machine["ratio"] > 1.0
        assert alert_id in ask(watched, "status").out
        assert ask(watched, "acknowledge", alert_id[:13].upper()).status == 0
        wait_for(lambda: documents(subscriber, "/m/state")[-1]["acknowledged"])
        labelled = ask(watched, "label", alert_id, "sensor", "--note", "loose cable", "--json")
        assert (labelled.json["label"], labelled.json["replaced"]) == ("sensor", "")
        again = ask(watched, "label", alert_id, "sensor")
        assert "replaces" not in again.out
        other = ask(watched, "label", alert_id, "fault")
        assert "labelled fault (replaces the label sensor)" in other.out
        assert ask(watched, "label", alert_id, "sensor").status == 0
        wait_for(lambda: documents(subscriber, "/m/state")[-1]["label"] == "sensor")
        for message in subscriber.messages("/state"):
            check_message(message.topic, message.payload)
    watched.end()
    started(watched)
    assert "acknowledged" in ask(watched, "status").out


def test_an_alert_from_before_the_mute_is_cleared_in_it(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """Subscribers would show an alert for ever that ended during a mute."""
    watched.feed("m", bundle.path, fault_and_back(), speed=4)
    with Subscriber(broker) as subscriber:
        started(watched)
        wait_for(lambda: documents(subscriber, "/m/alert"), 20)
        assert ask(watched, "mute", "m", "--for", "1d").status == 0
        wait_for(lambda: len(documents(subscriber, "/m/alert")) == 2, 20)
        assert [one["kind"] for one in documents(subscriber, "/m/alert")] == ["raised", "cleared"]
        wait_for(lambda: documents(subscriber, "/m/state")[-1]["alert_id"] is None)
        assert documents(subscriber, "/m/state")[-1]["muted_alerts"] == 0


def test_a_reload_keeps_the_mute_and_what_it_holds(
    watched: Daemon, broker: Mosquitto, bundle: Bundle
) -> None:
    """A change of the configuration would end a mute, or lose the alert that it holds."""
    watched.feed("m", bundle.path, machine_sound(30, seed=1, fault=0.3), speed=10)
    with Subscriber(broker) as subscriber:
        started(watched)
        ask(watched, "mute", "m", "--for", "1h")
        watched.wait_for_log("alert raised during a mute")
        watched.forget_machines()
        watched.feed("m", bundle.path, machine_sound(4, seed=2), speed=10)
        watched.write()
        watched.send(signal.SIGHUP)
        watched.wait_for_log("reloaded: machines: 1 changed")
        assert "1 alert held back" in ask(watched, "status").out
        ask(watched, "unmute", "m")
        wait_for(lambda: documents(subscriber, "/m/alert"))
        assert [one["kind"] for one in documents(subscriber, "/m/alert")] == ["raised"]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["mute", "m", "--for", "2"], 64, "must be a number with s, m, h or d, for example 30m"),
        (["mute", "m", "--for", "31d"], 64, "must be at least 1s and at most 30d, not 31d"),
        (["mute", "n", "--for", "1h"], 64, 'no machine "n" is monitored; monitored: m'),
        (["unmute", "n"], 64, 'no machine "n" is monitored'),
        (["acknowledge", "01234567"], 64, "no alert 01234567 is known"),
        (["acknowledge", "x"], 64, "must be at least 8 characters of an alert_id"),
        (["label", "01234567", "broken"], 64, "'broken' is not one of"),
        (["learn", "m"], 78, 'machine "m" is not configured for learning'),
        (["arm", "m"], 78, 'machine "m" is not configured for learning'),
        (["rollback", "m"], 78, 'machine "m" is not configured for learning'),
    ],
)
def test_a_mistake_is_one_clear_line(
    served: Daemon, arguments: list[str], status: int, says: str
) -> None:
    """A technician would see a traceback, or not know what is right."""
    outcome = ask(served, *arguments)
    assert (outcome.status, outcome.out) == (status, "")
    (line,) = outcome.err.splitlines()
    assert says in line


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Iterator[Daemon]:
    """A daemon without a broker, for all mistakes."""
    folder = tmp_path_factory.mktemp("served")
    with TemporaryDirectory(prefix="auscult-") as runtime, daemon(folder) as one:
        one.environment["RUNTIME_DIRECTORY"] = runtime
        one.feed("m", bundle.path, machine_sound(10))
        started(one)
        yield one


def test_without_a_daemon(tmp_path: Path, bundle: Bundle) -> None:
    """A technician would not know why there is no answer."""
    one = Daemon(tmp_path)
    one.machine("m", bundle.path, kind="simulated")
    one.write()
    outcome = auscult("status", "--config", one.config)
    assert outcome.status == 69
    (line,) = outcome.err.splitlines()
    assert "no daemon is running: start it with `auscult run`" in line


def test_the_daemon_runs_without_a_socket(watched: Daemon, bundle: Bundle, tmp_path: Path) -> None:
    """A folder with a long name would stop the monitoring."""
    watched.environment["RUNTIME_DIRECTORY"] = str(tmp_path / ("x" * 110))
    watched.feed("m", bundle.path, machine_sound(10))
    watched.start()
    watched.wait_for_log("do not work without the socket")
    watched.wait_for_log("ready")
    assert watched.end() == 0
