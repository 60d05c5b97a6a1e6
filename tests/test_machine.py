"""One machine's thread, and many beside each other: real pipelines, scripted sources."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.alerts import Alert, AlertDraft
from monitor.config.settings import MachineSettings
from monitor.detection.settings import DetectorSettings
from monitor.domain import AudioBlock, LogMelBlock, SourceState, SourceStatus
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.outbox.queue import Outbox
from monitor.pipeline import Pipeline, PipelineOutput
from monitor.service.machine import Machine
from monitor.service.machine_plan import MachinePlan
from monitor.service.supervisor import Supervisor
from monitor.sources.protocol import BACK, SourceItem, unavailable
from monitor.sources.settings import CommandSettings, FolderSettings, SimulatedSettings
from tests.bundles import SPEC, machine_sound, make_bundle
from tests.mosquitto import wait_for

RATE_HZ = SPEC.sample_rate_hz


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(Path(tmp_path_factory.mktemp("bundle")))


@pytest.fixture(scope="module")
def network(bundle: Bundle) -> Network:
    return Network(bundle)


@dataclass
class Record:
    """An outlet that keeps everything, with a real outbox."""

    outbox: Outbox
    states: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    scores: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)

    def open_alert(self, machine: str) -> Alert | None:
        return self.outbox.open_alert(machine)

    def alert(self, draft: AlertDraft) -> Alert:
        alert = self.outbox.append(draft)
        self.alerts.append(alert)
        return alert

    def state(self, machine: str, payload: dict[str, Any]) -> None:
        self.states.append((machine, payload))

    def score(self, machine: str, payload: dict[str, Any]) -> None:
        self.scores.append((machine, payload))

    def forget(self, machine: str) -> None:
        self.forgotten.append(machine)

    def last_state(self, machine: str) -> dict[str, Any]:
        return next(payload for name, payload in reversed(self.states) if name == machine)

    def said(self, machine: str = "m") -> list[str]:
        """The states in order, repetitions left out."""
        words: list[str] = []
        for name, payload in self.states:
            if name == machine and payload["state"] not in words[-1:]:
                words.append(payload["state"])
        return words


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    with Outbox(tmp_path / "outbox.sqlite3") as outbox:
        yield Record(outbox)


Script = Callable[[threading.Event], Iterator[SourceItem]]


@dataclass
class Scripted:
    """A source that plays a script."""

    script: Script
    sample_rate_hz: int | None = RATE_HZ

    def blocks(self, stop: threading.Event) -> Iterator[SourceItem]:
        yield from self.script(stop)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> dict[int, Script]:
    """What the simulated source of each seed plays instead."""
    playing: dict[int, Script] = {}

    def open_scripted(settings: SimulatedSettings) -> Scripted:
        return Scripted(playing[settings.seed])

    monkeypatch.setattr("monitor.service.machine.open_source", open_scripted)
    return playing


def plan(bundle: Bundle, network: Network, machine: str = "m", seed: int = 0) -> MachinePlan:
    return MachinePlan(
        settings=MachineSettings(
            id=machine, bundle=bundle.path, source=SimulatedSettings(seed=seed)
        ),
        detector=DetectorSettings(),
        bundle=bundle,
        network=network,
        inference_threads=1,
        score_interval_s=1e-9,
        stall_limit_s=5.0,
    )


def cut(samples: np.ndarray[Any, Any], size: int, first: int = 0) -> list[AudioBlock]:
    return [
        AudioBlock(samples[i : i + size], RATE_HZ, first + i) for i in range(0, len(samples), size)
    ]


def playing(*items: SourceItem, forever: bool = True) -> Script:
    """A script that yields these, and then waits."""

    def script(stop: threading.Event) -> Iterator[SourceItem]:
        for item in items:
            if stop.is_set():
                return
            yield item
        if forever:
            stop.wait(60)

    return script


def fault_and_back() -> np.ndarray[Any, Any]:
    parts = [machine_sound(20, seed=1), machine_sound(20, seed=2, fault=0.3), machine_sound(30)]
    return np.concatenate(parts)


def test_a_thread_gives_what_the_pipeline_gives(
    bundle: Bundle, network: Network, record: Record, scripts: dict[int, Script]
) -> None:
    """Live and offline would disagree about the same sound."""
    samples = fault_and_back()
    reference = Pipeline(bundle, DetectorSettings(), network).push(AudioBlock(samples, RATE_HZ, 0))
    scripts[0] = playing(*cut(samples, 1371), forever=False)
    machine = Machine(plan(bundle, network), record)
    machine.start()
    wait_for(lambda: machine.ended)
    expected = [(score.value, score.loss) for score in reference.scores]
    assert [(one["score"], one["loss"]) for _, one in record.scores] == expected
    assert [alert.kind for alert in record.alerts] == ["raised", "cleared"]
    assert [alert.score for alert in record.alerts] == [one.score for one in reference.decisions]
    assert record.said() == ["warming", "ok", "anomaly", "ok", "unavailable"]
    assert record.last_state("m")["reason"] == "ended"


def test_an_alert_is_dated_by_the_stream(
    bundle: Bundle, network: Network, record: Record, scripts: dict[int, Script]
) -> None:
    """Maintenance would look for the fault at the time of computing."""
    scripts[0] = playing(*cut(fault_and_back(), 1600), forever=False)
    machine = Machine(plan(bundle, network), record)
    began = time.time()
    machine.start()
    wait_for(lambda: machine.ended)
    raised, cleared = record.alerts
    assert seconds_after(began, raised.started_at) == pytest.approx(20, abs=5)
    assert seconds_after(began, raised.at) == pytest.approx(23, abs=6)
    assert seconds_after(began, cleared.at) == pytest.approx(48, abs=8)
    assert cleared.started_at == raised.started_at


def seconds_after(began: float, rfc3339: str) -> float:
    return float(np.datetime64(rfc3339.rstrip("Z"), "ms").astype(int)) / 1000 - began


def test_a_source_that_fails_is_tried_again_and_harms_no_other(
    bundle: Bundle,
    network: Network,
    record: Record,
    scripts: dict[int, Script],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One broken machine would end the monitoring of all."""
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

    scripts[1], scripts[2] = broken, playing(*cut(sound, 1600))
    supervisor = Supervisor(record)
    supervisor.apply([plan(bundle, network, "bad", 1), plan(bundle, network, "good", 2)])
    wait_for(lambda: record.last_state("good")["state"] == "ok")
    wait_for(lambda: record.last_state("bad")["state"] == "ok")
    assert len(attempts) == 3
    assert record.said("good") == ["warming", "ok"]
    assert record.said("bad") == [*(2 * ["warming", "unavailable"]), "warming", "ok"]
    reasons = {payload["reason"] for name, payload in record.states if name == "bad"}
    assert "internal_error" in reasons
    supervisor.stop()


def raised_and_stopped(
    watched: MachinePlan, record: Record, scripts: dict[int, Script]
) -> np.ndarray[Any, Any]:
    """Stop a machine while its alert stands; the sound that it would have heard next."""
    samples = fault_and_back()
    scripts[0] = playing(*cut(samples[: 35 * RATE_HZ], 1600))
    machine = Machine(watched, record)
    machine.start()
    wait_for(lambda: record.alerts)
    machine.ask_to_stop()
    assert machine.join(2)
    return samples[35 * RATE_HZ :]


def test_an_alert_goes_on_after_a_restart(
    bundle: Bundle, network: Network, record: Record, scripts: dict[int, Script]
) -> None:
    """A killed daemon would leave an alert standing for ever, or raise it twice."""
    rest = raised_and_stopped(plan(bundle, network), record, scripts)
    scripts[0] = playing(*cut(rest, 1600), forever=False)
    second = Machine(plan(bundle, network), record)
    second.start()
    wait_for(lambda: second.ended)
    raised, cleared = record.alerts
    assert (raised.kind, cleared.kind) == ("raised", "cleared")
    assert raised.alert_id == cleared.alert_id
    assert raised.started_at == cleared.started_at
    assert cleared.peak_score >= raised.peak_score


def test_an_alert_known_late_is_cleared_all_the_same(
    bundle: Bundle,
    network: Network,
    record: Record,
    scripts: dict[int, Script],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An alert from a disk that came after the start would stand until the next fault."""
    monkeypatch.setattr(Machine, "STANDING_CHECK_S", 0.0)
    quick_to_tell = DetectorSettings(update_interval_s=10.0)
    raised_and_stopped(plan(bundle, network), record, scripts)
    well = cut(machine_sound(30), 1600)

    def disk_comes_late(_stop: threading.Event) -> Iterator[SourceItem]:
        yield from well[:100]
        monkeypatch.setattr(Record, "open_alert", known)
        yield from well[100:]

    known = Record.open_alert
    monkeypatch.setattr(Record, "open_alert", lambda *_: None)
    scripts[0] = disk_comes_late
    later_machine = Machine(replace(plan(bundle, network), detector=quick_to_tell), record)
    later_machine.start()
    wait_for(lambda: later_machine.ended)
    raised, cleared = record.alerts  # and no update of what was well all the time
    assert cleared.kind == "cleared"
    assert cleared.alert_id == raised.alert_id


def test_silence_is_a_state_and_no_score(
    bundle: Bundle, network: Network, record: Record, scripts: dict[int, Script]
) -> None:
    """A cut cable would be reported as a fault of the machine, or as its health."""
    sound, silence = machine_sound(10), np.zeros(10 * RATE_HZ, np.float32)
    scripts[0] = playing(*cut(np.concatenate([sound, silence]), 1600), forever=False)
    machine = Machine(plan(bundle, network), record)
    machine.start()
    wait_for(lambda: machine.ended)
    assert record.said() == ["warming", "ok", "no_signal", "unavailable"]
    assert record.alerts == []
    coverage = machine.coverage()
    assert coverage["monitored_s"] + coverage["degraded_s"] == pytest.approx(20)
    assert coverage["degraded_s"] == pytest.approx(10, abs=2.5)


def test_an_outage_is_counted_and_joined_to_nothing(
    bundle: Bundle, network: Network, record: Record, scripts: dict[int, Script]
) -> None:
    """A window would straddle the gap, and the night would look watched."""
    sound = machine_sound(16)
    before = cut(sound[: 8 * RATE_HZ], 1600)
    after = cut(sound[8 * RATE_HZ :], 1600, 20 * RATE_HZ)
    after[0] = replace(after[0], discontinuous=True)
    gone = unavailable("disconnected", "the microphone was unplugged")
    scripts[0] = playing(*before, gone, BACK, *after, forever=False)
    machine = Machine(plan(bundle, network), record)
    machine.start()
    wait_for(lambda: machine.ended)
    assert record.said() == ["warming", "ok", "unavailable", "warming", "ok", "unavailable"]
    coverage = machine.coverage()
    assert coverage["monitored_s"] == pytest.approx(16)
    assert coverage["lost_s"] == pytest.approx(12, abs=0.5)


def test_a_state_says_since_when_and_how_much_was_heard(
    bundle: Bundle, network: Network, record: Record, scripts: dict[int, Script]
) -> None:
    """A dashboard could not tell a short outage from a long one."""
    scripts[0] = playing(unavailable("disconnected", "no such device"))
    machine = Machine(plan(bundle, network), record)
    machine.start()
    wait_for(lambda: machine.state.status is SourceStatus.UNAVAILABLE)
    payload = record.last_state("m")
    assert payload["detail"] == "no such device"
    assert seconds_after(time.time(), payload["since"]) == pytest.approx(0, abs=5)
    assert set(payload["coverage"]) == {"monitored_s", "degraded_s", "lost_s"}
    machine.ask_to_stop()
    machine.join(2)


# Progress, as the watchdog sees it.


def later(machine: Machine) -> float:
    return time.monotonic() + machine.plan.stall_limit_s + 1


def test_a_pipeline_that_hangs_is_a_stall(
    bundle: Bundle,
    network: Network,
    record: Record,
    scripts: dict[int, Script],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A daemon that hears nothing any more would run on and look healthy."""
    hanging, release = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        hanging.set()
        release.wait(30)

    scripts[0] = playing(*cut(machine_sound(2), 1600))
    monkeypatch.setattr(Pipeline, "push", hang)
    machine = Machine(plan(bundle, network), record)
    machine.start()
    assert hanging.wait(10)
    assert not machine.stalled(time.monotonic())
    assert machine.stalled(later(machine))
    machine.ask_to_stop()
    release.set()
    assert machine.join(2)


def test_machines_take_turns_at_computing(
    bundle: Bundle,
    network: Network,
    record: Record,
    scripts: dict[int, Script],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred machines would pass the interpreter to and fro and be seconds late."""
    push, lock, inside, most = Pipeline.push, threading.Lock(), 0, 0

    def watched(pipeline: Pipeline, block: AudioBlock | LogMelBlock) -> PipelineOutput:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.005)
        output = push(pipeline, block)
        with lock:
            inside -= 1
        return output

    monkeypatch.setattr(Pipeline, "push", watched)
    machines = [Machine(plan(bundle, network, f"m{n}", seed=n), record) for n in range(4)]
    for number, machine in enumerate(machines):
        scripts[number] = playing(*cut(machine_sound(2), 1600))
        machine.start()
    for machine in machines:
        wait_for(lambda machine=machine: machine.coverage()["monitored_s"] == 2.0)  # type: ignore[misc]  # bound now
        machine.ask_to_stop()
        assert machine.join(2)
    assert most == 1


def test_a_source_that_says_nothing_at_all_is_a_stall(
    bundle: Bundle, network: Network, record: Record, scripts: dict[int, Script]
) -> None:
    """A source that hangs without saying so would never be started again."""
    scripts[0] = playing(*cut(machine_sound(1), 1600))
    machine = Machine(plan(bundle, network), record)
    machine.start()
    wait_for(lambda: machine.coverage()["monitored_s"] == 1.0)
    assert not machine.stalled(time.monotonic())
    assert machine.stalled(later(machine))
    machine.ask_to_stop()


@pytest.mark.parametrize("state", [unavailable("disconnected", "unplugged"), None])
def test_an_unplugged_or_ended_source_is_no_stall(
    bundle: Bundle,
    network: Network,
    record: Record,
    scripts: dict[int, Script],
    state: SourceState | None,
) -> None:
    """An unplugged microphone would restart the service for ever."""
    scripts[0] = playing(state) if state else playing(*cut(machine_sound(1), 99), forever=False)
    machine = Machine(plan(bundle, network), record)
    machine.start()
    wait_for(lambda: machine.state.status is SourceStatus.UNAVAILABLE)
    assert not machine.stalled(later(machine))
    machine.ask_to_stop()


def test_a_patient_source_is_no_stall(bundle: Bundle, network: Network, record: Record) -> None:
    """A folder into which nothing was put over night would restart the service."""
    for source, expected in (
        (FolderSettings(path=bundle.path), False),
        (CommandSettings(command=("cat",), silence_timeout_s=60), False),
        (CommandSettings(command=("cat",), silence_timeout_s=0.5), True),
    ):
        settings = MachineSettings(id="m", bundle=bundle.path, source=source)
        machine = Machine(replace(plan(bundle, network), settings=settings), record)
        assert machine.stalled(later(machine)) is expected


# Many machines.


def test_an_exchange_leaves_the_unchanged_alone(
    bundle: Bundle, network: Network, record: Record, scripts: dict[int, Script]
) -> None:
    """Adding a machine would interrupt all others."""
    for seed in range(4):
        scripts[seed] = playing(*cut(machine_sound(10, seed=seed), 1600))
    plans = {name: plan(bundle, network, name, seed) for seed, name in enumerate("abcd")}
    supervisor = Supervisor(record)
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
    assert record.said("a") == ["warming", "ok"]
    assert record.forgotten == ["c"]
    assert before["c"].join(0)
    supervisor.stop()


def test_all_stop_together_and_say_so(
    bundle: Bundle, network: Network, record: Record, scripts: dict[int, Script]
) -> None:
    """With fifty machines an orderly stop would take fifty times as long and be cut short."""

    def slow_to_stop(stop: threading.Event) -> Iterator[SourceItem]:
        yield from cut(machine_sound(1), 1600)
        stop.wait(60)
        time.sleep(0.4)

    scripts[0] = slow_to_stop
    supervisor = Supervisor(record)
    supervisor.apply([plan(bundle, network, f"m{number}") for number in range(20)])
    began_s = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - began_s < 1.0
    for number in range(20):
        last = record.last_state(f"m{number}")
        assert (last["state"], last["reason"]) == ("unavailable", "stopped")


def test_what_was_decided_while_stopping_is_still_told(
    bundle: Bundle,
    network: Network,
    record: Record,
    scripts: dict[int, Script],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fault that ends during a restart or reload would never have been."""
    judge, decided = Pipeline.push, threading.Event()

    def stop_at_decision(pipeline: Pipeline, block: AudioBlock | LogMelBlock) -> PipelineOutput:
        output = judge(pipeline, block)
        if output.decisions:
            machine.ask_to_stop()
            decided.set()
        return output

    monkeypatch.setattr(Pipeline, "push", stop_at_decision)
    scripts[0] = playing(*cut(machine_sound(15, fault=0.3), 1600))
    machine = Machine(plan(bundle, network), record)
    machine.start()
    assert decided.wait(20)
    assert machine.join(20)
    assert [alert.kind for alert in record.alerts] == ["raised"]


def test_a_machine_that_does_not_stop_is_left_behind_in_silence(
    bundle: Bundle, network: Network, record: Record, scripts: dict[int, Script]
) -> None:
    """One hanging driver would keep the whole service from stopping, and speak after its end."""
    release = threading.Event()

    def deaf(_stop: threading.Event) -> Iterator[SourceItem]:
        yield from cut(machine_sound(1), 1600)
        release.wait(30)
        yield from cut(machine_sound(10), 1600, RATE_HZ)
        raise RuntimeError("too late")

    scripts[0] = deaf
    supervisor = Supervisor(record)
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
