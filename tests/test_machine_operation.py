"""What the service does with a machine that starts and stops."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.detection.settings import OperationSettings
from monitor.errors import BundleError
from monitor.features.log_mel import log_mel_windows
from monitor.model.bundle import Bundle, load_bundle, write_manifest
from monitor.model.network import Network
from monitor.model.operation import HealthyDuty, OperatingState, Operation
from monitor.outbox.queue import Outbox
from monitor.service.machine import Machine
from monitor.sources.protocol import SourceItem
from tests.bundles import SPEC, machine_sound, make_bundle
from tests.command_line import auscult
from tests.daemons import daemon, documents, states
from tests.mosquitto import Mosquitto, Subscriber
from tests.payload_check import check_message
from tests.scripted_machines import (
    RATE_HZ,
    RecordingOutlet,
    ScriptedSource,
    cut,
    fault_and_back,
    plan,
    playing,
)
from tests.waiting import wait_for

Step = tuple[float, bytes | None]
"""Seconds of healthy sound, and the message of the signal before it."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(Path(tmp_path_factory.mktemp("bundle")))


@pytest.fixture(scope="module")
def with_states(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with two states and how often the healthy machine starts."""
    made = make_bundle(Path(tmp_path_factory.mktemp("states")))
    bands = SPEC.n_mels
    operation = Operation(
        quiet_db=(-40.0,) * bands,
        states=(
            OperatingState(
                name="run", is_off=False, share=0.75, level_db=-30, low_level_db=(-30.0,) * bands
            ),
            OperatingState(
                name="rest", is_off=True, share=0.25, level_db=-70, low_level_db=(-70.0,) * bands
            ),
        ),
        duty=HealthyDuty(most_starts_per_h=6),
    )
    write_manifest(made.path, made.manifest.model_copy(update={"operation": operation}))
    return load_bundle(made.path)


@pytest.fixture(scope="module")
def network(bundle: Bundle) -> Network:
    return Network(bundle)


@pytest.fixture
def record(tmp_path: Path) -> Iterator[RecordingOutlet]:
    with Outbox(tmp_path / "outbox.sqlite3") as outbox:
        yield RecordingOutlet(outbox)


@pytest.fixture
def run(bundle: Bundle, network: Network, record: RecordingOutlet) -> Callable[..., Machine]:
    """Play sound while a signal shows whether the machine runs; the machine at its end."""

    def play(steps: list[Step], **operation: Any) -> Machine:
        made = plan(bundle, network)
        own = OperationSettings(topic="plug", **operation)
        settings = made.settings.model_copy(update={"operation": own})
        machine: Machine

        def script(_stop: threading.Event) -> Iterator[SourceItem]:
            first = 0
            for index, (seconds, message) in enumerate(steps):
                if message is not None:
                    assert machine.signal is not None
                    machine.signal.receive(message)
                samples = machine_sound(seconds, seed=index)
                yield from cut(samples, 1600, first)
                first += len(samples)

        machine = Machine(replace(made, settings=settings), ScriptedSource(script), record)
        machine.start()
        wait_for(lambda: machine.ended)
        return machine

    return play


def operations(record: RecordingOutlet) -> list[str]:
    """The published operation in order, without repetitions."""
    values: list[str] = []
    for _, payload in record.operations:
        if payload["operation"] not in values[-1:]:
            values.append(payload["operation"])
    return values


def test_the_signal_decides_and_nothing_else(
    run: Callable[..., Machine], record: RecordingOutlet
) -> None:
    """The power meter has no effect, or a bundle without states cannot use it."""
    run([(20, b"45"), (20, b"2"), (20, b"44")], running_above=30)
    assert operations(record) == ["running", "off", "transition", "running"]
    assert record.state_sequence() == ["warming", "ok", "off", "warming", "ok", "unavailable"]
    last = record.operations[-1][1]
    assert last["starts"] == last["today"]["starts"] == 1
    assert last["running_s"] == pytest.approx(40, abs=8)
    assert not record.alerts


def test_the_sound_decides_without_a_signal(
    tmp_path: Path, network: Network, record: RecordingOutlet
) -> None:
    """A stop of the machine is an alert, or its starts are not counted."""
    rng = np.random.default_rng(1)
    running = machine_sound(20, seed=5)
    quiet = (1e-4 * rng.standard_normal(20 * RATE_HZ)).astype(np.float32)
    made = make_bundle(tmp_path / "bundle")
    frames = np.concatenate(list(log_mel_windows(running, SPEC).transpose(0, 2, 1)))
    level_db = tuple(map(float, np.percentile(frames, 10, axis=0)))
    state = OperatingState(
        name="run",
        is_off=False,
        share=1.0,
        level_db=float(np.mean(level_db)),
        low_level_db=level_db,
    )
    known = Operation(quiet_db=tuple(one - 2.0 for one in level_db), states=(state,))
    write_manifest(made.path, made.manifest.model_copy(update={"operation": known}))
    samples = np.concatenate([running, quiet, running, quiet, running])
    source = playing(*cut(samples, 1600), forever=False)
    machine = Machine(plan(load_bundle(made.path), network), source, record)
    machine.start()
    wait_for(lambda: machine.ended)
    assert not record.alerts
    last = record.operations[-1][1]
    assert (last["operation"], last["starts"]) == ("running", 2)
    assert last["running_s"] == pytest.approx(60, abs=15)
    assert [one for one in operations(record) if one != "transition"] == [
        *("running", "off", "running", "off", "running")
    ]
    assert "degraded" not in record.state_sequence()
    assert record.state_sequence().count("off") == 2


def test_a_stale_signal_leaves_it_to_the_sound(
    run: Callable[..., Machine], record: RecordingOutlet
) -> None:
    """A machine without messages of its power meter is never monitored."""
    run([(20, None)], stale_s=1.0)
    assert operations(record) == ["running"]
    assert record.scores


def test_a_machine_that_must_never_stop_alerts_when_it_is_off(
    run: Callable[..., Machine], record: RecordingOutlet
) -> None:
    """A pump that must never stop is off, and nobody is notified."""
    run([(15, b"ON"), (40, b"OFF"), (20, b"ON")], alert_when_off_s=20)
    raised, cleared = record.alerts
    assert (raised.kind, raised.reason) == ("raised", "off")
    assert (cleared.kind, cleared.reason) == ("cleared", "off")
    assert raised.alert_id == cleared.alert_id
    assert raised.score == cleared.score == 0.0
    lasted_s = np.datetime64(raised.at[:-1]) - np.datetime64(raised.started_at[:-1])
    assert lasted_s / np.timedelta64(1, "s") == pytest.approx(20, abs=1)


def test_a_short_stop_gives_no_alert(run: Callable[..., Machine], record: RecordingOutlet) -> None:
    """Each short stop of the machine is an alert."""
    run([(15, b"ON"), (15, b"OFF"), (20, b"ON"), (15, b"OFF")], alert_when_off_s=20)
    assert record.alerts == []


def test_an_alert_for_a_machine_that_is_off_survives_a_restart(
    run: Callable[..., Machine], record: RecordingOutlet
) -> None:
    """A restart raises it again, takes it for a fault of the sound, or never clears it."""
    run([(30, b"OFF")], alert_when_off_s=10)
    run([(30, b"OFF")], alert_when_off_s=10)
    assert [one.kind for one in record.alerts] == ["raised"]
    assert "anomaly" not in record.state_sequence()
    run([(20, b"ON")])
    assert [(one.kind, one.reason) for one in record.alerts] == [
        ("raised", "off"),
        ("cleared", "off"),
    ]


def test_a_duty_cycle_outside_the_range_is_a_warning(
    run: Callable[..., Machine], record: RecordingOutlet
) -> None:
    """A machine that starts too often looks healthy."""
    steps: list[Step] = [(15, b"ON" if index % 2 else b"OFF") for index in range(8)]
    run(steps, most_starts_per_h=6, duty_cycle_s=60)
    last = record.last_state()
    assert last["warnings"] == ["duty_cycle"]
    assert "starts per hour, healthy: at most 6" in last["warning_details"]["duty_cycle"]


def test_a_healthy_machine_is_never_degraded(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """At its start, before an alert and after it, a machine looks like a broken microphone."""
    samples = np.concatenate([fault_and_back(), fault_and_back()])
    machine = Machine(plan(bundle, network), playing(*cut(samples, 1600), forever=False), record)
    machine.start()
    wait_for(lambda: machine.ended)
    assert len(record.alerts) == 4
    assert set(record.state_sequence()) == {"warming", "ok", "anomaly", "unavailable"}
    assert record.last_state()["coverage"]["degraded_s"] == 0.0


def test_a_louder_machine_is_monitored_with_a_warning(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """Somebody turns the gain, and the machine is no longer monitored."""
    loud = machine_sound(40, seed=3) * np.float32(3.0)
    machine = Machine(plan(bundle, network), playing(*cut(loud, 1600), forever=False), record)
    machine.start()
    wait_for(lambda: machine.ended)
    assert record.state_sequence() == ["warming", "ok", "unavailable"]
    warned = [one for _, one in record.states if one["warnings"]]
    assert warned
    assert warned[-1]["warnings"] == ["level_shift"]
    assert "louder than any healthy" in warned[-1]["warning_details"]["level_shift"]
    assert record.last_state()["coverage"]["degraded_s"] == 0.0


def config(folder: Path, bundle: Bundle, operation: str) -> Path:
    path = folder / "config.toml"
    path.write_text(
        f'[[machine]]\nid = "m"\nbundle = "{bundle.path}"\n'
        f'[machine.operation]\n{operation}\n[machine.source]\nkind = "simulated"\n'
    )
    return path


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ('off_states = ["idle"]', 'no state "idle"; it has run, rest'),
        ('off_states = ["run", "rest"]', "the machine would be off in all states"),
    ],
)
def test_off_states_that_do_not_fit_the_bundle_are_refused(
    tmp_path: Path, with_states: Bundle, operation: str, expected: str
) -> None:
    """A misspelt state is ignored, and the machine raises alerts when it is off."""
    path = config(tmp_path, with_states, operation)
    for command in ("check", "run"):
        outcome = auscult(command, "--config", path)
        assert outcome.status == BundleError.exit_status
        (line,) = outcome.err.splitlines()
        assert expected in line
        assert 'machine "m"' in line
        assert "off_states" in line


def test_a_limit_above_the_running_machine_is_refused(tmp_path: Path, with_states: Bundle) -> None:
    """The machine is always off, and its faults are never found."""
    for operation, is_refused in (
        ("off_below_db = -20.0", True),
        ("off_below_db = -50.0", False),
        ('off_below_db = -50.0\noff_states = ["run"]', True),
        ('off_below_db = -20.0\ntopic = "plug"', False),
    ):
        outcome = auscult("check", "--config", config(tmp_path, with_states, operation))
        assert ("the machine would always be off" in outcome.err) is is_refused, operation


@pytest.mark.parametrize("setting", ["alert_when_off_s = 60", "most_starts_per_h = 5"])
def test_settings_about_off_need_something_that_shows_it(
    tmp_path: Path, bundle: Bundle, setting: str
) -> None:
    """A pump that must never stop is off, and the alert that was configured never comes."""
    outcome = auscult("check", "--config", config(tmp_path, bundle, setting))
    assert outcome.status == BundleError.exit_status
    assert f"{setting.split(maxsplit=1)[0]}: nothing shows whether the machine runs" in outcome.err
    with_topic = config(tmp_path, bundle, f'{setting}\ntopic = "plug"')
    assert "nothing shows" not in auscult("check", "--config", with_topic).err


def test_off_states_need_a_bundle_with_states(tmp_path: Path, bundle: Bundle) -> None:
    """The setting has no effect, and nobody is notified."""
    outcome = auscult("check", "--config", config(tmp_path, bundle, 'off_states = ["off"]'))
    assert outcome.status == BundleError.exit_status
    assert "the bundle has no operating states: train it again" in outcome.err


def test_check_and_inspect_show_the_states(tmp_path: Path, with_states: Bundle) -> None:
    """Nobody can see which state is off, or name it in the configuration."""
    path = config(tmp_path, with_states, "off_states = []\nstale_s = 30.0")
    shown = auscult("check", "--config", path)
    assert "run 75%, rest 25%" in shown.out
    assert "off_states = [], stale_s = 30" in shown.out
    (machine,) = auscult("check", "--config", path, "--json").json["machines"]
    assert [state["is_off"] for state in machine["states"]] == [False, False]
    assert machine["operation"]["stale_s"] == 30.0
    text = auscult("inspect", with_states.path).out
    assert "run: 75% of the sound, level -30.0 dB, the machine runs" in text
    assert "rest: 25% of the sound, level -70.0 dB, the machine is off" in text
    assert "healthy duty        at most 6 starts per hour\n" in text
    found = auscult("inspect", with_states.path, "--json").json["operation"]["states"]
    assert [(state["name"], state["level_db"]) for state in found] == [("run", -30), ("rest", -70)]


@pytest.mark.slow
def test_the_daemon_follows_a_power_meter(tmp_path: Path, bundle: Bundle) -> None:
    """Messages of the meter do not reach the machine, or not after a reload."""
    sound = machine_sound(600)
    meter: dict[str, Any] = {"field": "power", "running_above": 30}
    with (
        Mosquitto(tmp_path / "broker") as broker,
        daemon(tmp_path / "daemon", broker) as watched,
        Subscriber(broker) as subscriber,
    ):

        def follow(topic: str) -> None:
            watched.forget_machines()
            operation = meter | {"topic": topic}
            watched.feed("m", bundle.path, sound, speed=8, operation=operation)

        def shows(watts: float, topic: str, expected: str) -> bool:
            subscriber.publish(topic, json.dumps({"power": watts}).encode())
            return documents(subscriber, "/m/operation")[-1:] != [] and (
                documents(subscriber, "/m/operation")[-1]["operation"] == expected
            )

        follow("meters/one")
        watched.start()
        wait_for(lambda: shows(45, "meters/one", "running"))
        wait_for(lambda: shows(1, "meters/one", "off"))
        follow("meters/two")
        watched.write()
        watched.send(signal.SIGHUP)
        wait_for(lambda: shows(45, "meters/two", "running"))
        wait_for(lambda: shows(1, "meters/two", "off"))
        wait_for(lambda: shows(45, "meters/two", "running"))
        last = documents(subscriber, "/m/operation")[-1]
        assert watched.end() == 0
        for message in subscriber.messages():
            if message.topic.startswith("auscult/"):
                check_message(message.topic, message.payload)
        shown = documents(subscriber, "/m/state")
        assert "off" in states(subscriber)
        assert "degraded" not in states(subscriber)
        assert not subscriber.payloads("/m/alert")
        assert all(one["warnings"] == [] for one in shown)
    assert last["starts"] >= 1
    counts = json.loads((watched.folder / "state" / "operation" / "m.json").read_text())
    assert counts["starts"] == last["starts"]
