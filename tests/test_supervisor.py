"""Several machines together: real pipelines, scripted sources."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from monitor.detection.settings import DetectorSettings
from monitor.diagnosis.settings import ShaftSettings
from monitor.errors import BadInputError
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.service.machine import Machine
from monitor.service.supervisor import Supervisor
from monitor.sources.protocol import SourceItem
from tests.bundles import machine_sound
from tests.scripted_machines import (
    RATE_HZ,
    RecordingOutlet,
    ScriptedSource,
    cut,
    opening,
    plan,
    playing,
)
from tests.waiting import wait_for


def test_a_source_that_fails_is_tried_again_and_affects_no_other(
    bundle: Bundle,
    network: Network,
    record: RecordingOutlet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error in one machine would end the monitoring of all."""
    monkeypatch.setattr(Machine, "LEAST_PAUSE_S", 0.05)
    attempts = []
    sound = machine_sound(10)

    def broken(_stop: threading.Event) -> Iterator[SourceItem]:
        attempts.append(1)
        yield from cut(sound[: 2 * RATE_HZ], 1600)
        if len(attempts) < 3:
            raise RuntimeError("a bug")
        yield from cut(sound[2 * RATE_HZ :], 1600, 2 * RATE_HZ)
        _stop.wait(60)

    supervisor = Supervisor(record, opening(ScriptedSource(broken), playing(*cut(sound, 1600))))
    supervisor.apply([plan(bundle, network, "bad", 0), plan(bundle, network, "good", 1)])
    wait_for(lambda: record.last_state("good")["state"] == "ok")
    wait_for(lambda: record.last_state("bad")["state"] == "ok")
    assert len(attempts) == 3
    assert record.state_sequence("good") == ["warming", "ok"]
    assert record.state_sequence("bad") == [*(2 * ["warming", "unavailable"]), "warming", "ok"]
    reasons = {payload["reason"] for name, payload in record.states if name == "bad"}
    assert "internal_error" in reasons
    supervisor.stop()


def test_a_source_that_fails_after_some_sound_is_tried_again_soon(
    bundle: Bundle, network: Network, record: RecordingOutlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that fails every 15 s would not be monitored for a minute each time."""
    monkeypatch.setattr(Machine, "LEAST_PAUSE_S", 0.02)
    monkeypatch.setattr(Machine, "HEALTHY_AFTER_S", 0.1)
    began_s: list[float] = []

    def failing(_stop: threading.Event) -> Iterator[SourceItem]:
        began_s.append(time.monotonic())
        for block in cut(machine_sound(1)[: RATE_HZ // 2], 1600):
            yield block
            time.sleep(0.05)
        raise BadInputError("the stream is damaged")

    supervisor = Supervisor(record, opening(ScriptedSource(failing)))
    supervisor.apply([plan(bundle, network)])
    wait_for(lambda: len(began_s) == 9, 20)  # the ninth pause would be 5 s
    supervisor.stop()
    assert began_s[8] - began_s[7] < 2.0


def test_another_shaft_does_not_interrupt_a_machine(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """A bearing that is added during an alert would end the evidence of this alert."""
    before = plan(bundle, network, "a")
    shaft = ShaftSettings(speed_hz=24.5)
    other = replace(before, settings=before.settings.model_copy(update={"shaft": shaft}))
    supervisor = Supervisor(record, opening(playing(*cut(machine_sound(10), 1600))))
    supervisor.apply([before])
    machine = supervisor.machines["a"]
    assert supervisor.apply([other]).kept == ["a"]
    assert supervisor.machines["a"] is machine
    supervisor.stop()


def test_new_plans_do_not_interrupt_unchanged_machines(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """Adding a machine would interrupt all others."""
    sources = [playing(*cut(machine_sound(10, seed=seed), 1600)) for seed in range(4)]
    plans = {name: plan(bundle, network, name, seed) for seed, name in enumerate("abcd")}
    supervisor = Supervisor(record, opening(*sources))
    supervisor.apply([plans["a"], plans["b"], plans["c"]])
    before = dict(supervisor.machines)
    for name in "abc":
        wait_for(lambda name=name: record.last_state(name)["state"] == "ok")  # type: ignore[misc]  # bound now
    other = replace(plans["b"], detector=DetectorSettings(quiet_s=99))
    changes = supervisor.apply([plans["a"], other, plans["d"]])
    assert (changes.kept, changes.changed) == (["a"], ["b"])
    assert (changes.added, changes.removed) == (["d"], ["c"])
    assert supervisor.machines["a"] is before["a"]
    assert supervisor.machines["b"] is not before["b"]
    assert record.state_sequence("a") == ["warming", "ok"]
    assert record.forgotten == ["c"]
    assert before["c"].join(0)
    supervisor.stop()


def test_all_stop_together_and_publish_it(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """With fifty machines a stop would take too long, and systemd would kill the service."""

    def slow_to_stop(stop: threading.Event) -> Iterator[SourceItem]:
        yield from cut(machine_sound(1), 1600)
        stop.wait(60)
        time.sleep(0.4)

    supervisor = Supervisor(record, opening(ScriptedSource(slow_to_stop)))
    supervisor.apply([plan(bundle, network, f"m{number}") for number in range(20)])
    began_s = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - began_s < 1.0
    for number in range(20):
        last = record.last_state(f"m{number}")
        assert (last["state"], last["reason"]) == ("unavailable", "stopped")


def test_a_machine_that_does_not_stop_publishes_no_more(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """A driver that hangs would prevent the stop, and its machine would publish after the stop."""
    release = threading.Event()

    def deaf(_stop: threading.Event) -> Iterator[SourceItem]:
        yield from cut(machine_sound(1), 1600)
        release.wait(30)
        yield from cut(machine_sound(10), 1600, RATE_HZ)
        raise RuntimeError("too late")

    supervisor = Supervisor(record, opening(ScriptedSource(deaf)))
    supervisor.apply([plan(bundle, network)])
    machine = supervisor.machines["m"]
    wait_for(lambda: machine.coverage()["monitored_s"] == 1.0)
    began_s = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - began_s < 1.5
    said = len(record.states)
    release.set()
    assert machine.join(5)
    assert len(record.states) == said
    assert record.scores == []
