"""One machine's thread: a real pipeline, scripted sources."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from monitor.detection.settings import DetectorSettings
from monitor.domain import AudioBlock, LogMelBlock, SourceStatus
from monitor.model.bundle import Bundle
from monitor.model.channel_calibration import ChannelBudget, ChannelCalibration
from monitor.model.network import Network
from monitor.pipeline import Pipeline, PipelineOutput
from monitor.service.engine import Engine
from monitor.service.machine import Machine
from monitor.service.machine_plan import MachinePlan
from monitor.service.machine_sound import MachineSound
from monitor.sources.protocol import BACK, SourceItem, unavailable
from tests.alert_drafts import draft
from tests.bundles import machine_sound
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


def test_a_thread_gives_what_the_pipeline_gives(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """Live and offline scores of the same sound would differ."""
    samples = fault_and_back()
    reference = Pipeline(bundle, DetectorSettings(), network).push(AudioBlock(samples, RATE_HZ, 0))
    source = playing(*cut(samples, 1371), forever=False)
    machine = Machine(plan(bundle, network), source, record)
    machine.start()
    wait_for(lambda: machine.ended)
    expected = [(score.value, score.loss) for score in reference.scores]
    assert [(one["score"], one["loss"]) for _, one in record.scores] == expected
    assert [alert.kind for alert in record.alerts] == ["raised", "cleared"]
    assert [alert.score for alert in record.alerts] == [one.score for one in reference.decisions]
    assert record.state_sequence() == ["warming", "ok", "anomaly", "ok", "unavailable"]
    severities = {state["state"]: state["severity"] for _, state in record.states}
    assert (severities["ok"], severities["anomaly"]) == (None, "alarm")
    assert record.last_state("m")["reason"] == "ended"


@pytest.mark.parametrize(("seconds", "is_late"), [(6, True), (60, False)])
def test_scores_that_come_late_are_published_but_not_those_of_an_archive(
    bundle: Bundle, network: Network, record: RecordingOutlet, seconds: int, *, is_late: bool
) -> None:
    """A busy computer would publish one score of eight, or an archive flood the broker."""
    block = AudioBlock(machine_sound(seconds), RATE_HZ, 0)
    watched = replace(plan(bundle, network), score_interval_s=1.0)
    machine = Machine(watched, playing(block, forever=False), record)
    machine.start()
    wait_for(lambda: machine.ended)
    ends_s = [
        score.end_sample / RATE_HZ
        for score in Pipeline(bundle, DetectorSettings(), network).push(block).scores
    ]
    expected_s = ends_s[:1]
    for end_s in ends_s:
        expected_s += [end_s] if end_s >= expected_s[-1] + 1.0 else []
    assert len(expected_s) >= 2
    assert len(record.scores) in ([len(expected_s)] if is_late else [6, 7])
    times = np.array([one["at"].rstrip("Z") for _, one in record.scores], dtype="datetime64[ms]")
    assert (np.diff(times).astype(int) >= 999).all()


def test_a_source_that_ends_because_of_an_error_keeps_its_reason(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """`the source has ended` would hide that the recording could not be read."""
    source = playing(unavailable("bad_input", "a.wav: not an audio file"), forever=False)
    machine = Machine(plan(bundle, network), source, record)
    machine.start()
    wait_for(lambda: machine.ended)
    last = record.last_state("m")
    assert (last["reason"], last["detail"]) == ("bad_input", "a.wav: not an audio file")


def test_an_alert_is_dated_by_the_stream(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """The alert would have the time of the computation, not of the fault."""
    began = time.time() - 86_400.0
    blocks = [
        replace(block, recorded_unix_s=began + block.start_s)
        for block in cut(fault_and_back(), 1600)
    ]
    machine = Machine(plan(bundle, network), playing(*blocks, forever=False), record)
    machine.start()
    wait_for(lambda: machine.ended)
    raised, cleared = record.alerts
    assert seconds_after(began, raised.started_at) == pytest.approx(20, abs=5)
    assert seconds_after(began, raised.at) == pytest.approx(23, abs=6)
    assert seconds_after(began, cleared.at) == pytest.approx(48, abs=8)
    assert cleared.started_at == raised.started_at


def test_sound_that_comes_faster_than_real_time_is_not_dated_in_the_future(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """The alerts of a folder of recordings would be minutes ahead of the clock."""
    source = playing(*cut(fault_and_back(), 1600), forever=False)
    machine = Machine(plan(bundle, network), source, record)
    machine.start()
    wait_for(lambda: machine.ended)
    ended = time.time()
    assert len(record.alerts) == 2
    for alert in record.alerts:
        assert seconds_after(ended, alert.started_at) < seconds_after(ended, alert.at) <= 0.001


def seconds_after(began: float, rfc3339: str) -> float:
    return float(np.datetime64(rfc3339.rstrip("Z"), "ms").astype(int)) / 1000 - began


def raised_and_stopped(watched: MachinePlan, record: RecordingOutlet) -> np.ndarray[Any, Any]:
    """Stop a machine while its alert is raised; the sound that would have come next."""
    samples = fault_and_back()
    source = playing(*cut(samples[: 35 * RATE_HZ], 1600))
    machine = Machine(watched, source, record)
    machine.start()
    wait_for(lambda: record.alerts)
    machine.ask_to_stop()
    assert machine.join(2)
    return samples[35 * RATE_HZ :]


def test_an_alert_continues_after_a_restart(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """After the daemon was killed, an alert would never be cleared, or be raised twice."""
    rest = raised_and_stopped(plan(bundle, network), record)
    source = playing(*cut(rest, 1600), forever=False)
    second = Machine(plan(bundle, network), source, record)
    second.start()
    wait_for(lambda: second.ended)
    raised, cleared = record.alerts
    assert (raised.kind, cleared.kind) == ("raised", "cleared")
    assert raised.alert_id == cleared.alert_id
    assert raised.started_at == cleared.started_at
    assert cleared.peak_score >= raised.peak_score


def test_healthy_seconds_do_not_clear_an_alert_of_minutes_after_a_restart(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """After each restart, the alert of a faint fault is cleared and raised again."""
    minutes = ChannelCalibration(
        evidence="distance",
        span_s=122.88,
        step_s=8.192,
        score_median=1.0,
        budgets=(ChannelBudget(false_alarms_per_week=1.0, threshold=9.0),),
    )
    calibration = bundle.calibration.model_copy(update={"channels": (minutes,)})
    manifest = bundle.manifest.model_copy(update={"calibration": calibration})
    watched = plan(replace(bundle, manifest=manifest), network)
    for span_s, kinds in ((122.88, ["raised"]), (0.0, ["updated", "cleared"])):
        record.alerts.clear()
        record.alert(replace(draft("raised", "m"), span_s=span_s))
        restarted = Machine(watched, playing(*cut(machine_sound(30), 1600), forever=False), record)
        restarted.start()
        wait_for(lambda machine=restarted: machine.ended)  # type: ignore[misc]  # a default
        assert [alert.kind for alert in record.alerts] == kinds


def test_an_alert_that_is_found_late_is_cleared(
    bundle: Bundle,
    network: Network,
    record: RecordingOutlet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An alert on a disk that is mounted late would not be cleared until the next fault."""
    monkeypatch.setattr(MachineSound, "STANDING_CHECK_S", 0.0)
    quick_to_tell = DetectorSettings(update_interval_s=10.0)
    raised_and_stopped(plan(bundle, network), record)
    well = cut(machine_sound(30), 1600)

    def disk_comes_late(_stop: threading.Event) -> Iterator[SourceItem]:
        yield from well[:100]
        monkeypatch.setattr(RecordingOutlet, "open_alert", known)
        yield from well[100:]

    known = RecordingOutlet.open_alert
    monkeypatch.setattr(RecordingOutlet, "open_alert", lambda *_: None)
    watched = replace(plan(bundle, network), detector=quick_to_tell)
    later_machine = Machine(watched, ScriptedSource(disk_comes_late), record)
    later_machine.start()
    wait_for(lambda: later_machine.ended)
    raised, cleared = record.alerts  # and no update of what was well all the time
    assert cleared.kind == "cleared"
    assert cleared.alert_id == raised.alert_id


def test_silence_is_a_state_and_no_score(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """A cut cable would be reported as a fault of the machine, or as a healthy machine."""
    sound, silence = machine_sound(10), np.zeros(10 * RATE_HZ, np.float32)
    source = playing(*cut(np.concatenate([sound, silence]), 1600), forever=False)
    machine = Machine(plan(bundle, network), source, record)
    machine.start()
    wait_for(lambda: machine.ended)
    assert record.state_sequence() == ["warming", "ok", "no_signal", "unavailable"]
    assert record.alerts == []
    coverage = machine.coverage()
    assert coverage["monitored_s"] + coverage["degraded_s"] == pytest.approx(20)
    assert coverage["degraded_s"] == pytest.approx(10, abs=2.5)


def test_an_outage_is_counted_and_no_window_contains_it(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """A window would contain the gap, and the lost time would count as monitored."""
    sound = machine_sound(16)
    before = cut(sound[: 8 * RATE_HZ], 1600)
    after = cut(sound[8 * RATE_HZ :], 1600, 20 * RATE_HZ)
    after[0] = replace(after[0], discontinuous=True)
    gone = unavailable("disconnected", "the microphone was unplugged")
    source = playing(*before, gone, BACK, *after, forever=False)
    machine = Machine(plan(bundle, network), source, record)
    machine.start()
    wait_for(lambda: machine.ended)
    assert record.state_sequence() == [
        "warming",
        "ok",
        "unavailable",
        "warming",
        "ok",
        "unavailable",
    ]
    coverage = machine.coverage()
    assert coverage["monitored_s"] == pytest.approx(16)
    assert coverage["lost_s"] == pytest.approx(12, abs=0.5)


def test_a_state_contains_its_start_and_the_coverage(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """A dashboard could not distinguish a short outage from a long one."""
    source = playing(unavailable("disconnected", "no such device"))
    machine = Machine(plan(bundle, network), source, record)
    machine.start()
    wait_for(lambda: machine.state.status is SourceStatus.UNAVAILABLE)
    payload = record.last_state("m")
    assert payload["detail"] == "no such device"
    assert seconds_after(time.time(), payload["since"]) == pytest.approx(0, abs=5)
    assert set(payload["coverage"]) == {"monitored_s", "degraded_s", "lost_s"}
    machine.ask_to_stop()
    machine.join(2)


def test_one_machine_computes_at_a_time(
    bundle: Bundle,
    network: Network,
    record: RecordingOutlet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred machines would compete for the interpreter and be seconds late."""
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
    source = playing(*cut(machine_sound(2), 1600))
    engine = Engine()
    machines = [
        Machine(plan(bundle, network, f"m{n}"), source, record, engine=engine) for n in range(4)
    ]
    for machine in machines:
        machine.start()
    for machine in machines:
        wait_for(lambda machine=machine: machine.coverage()["monitored_s"] == 2.0)  # type: ignore[misc]  # bound now
        machine.ask_to_stop()
        assert machine.join(2)
    assert most == 1


def test_a_decision_during_a_stop_is_still_published(
    bundle: Bundle,
    network: Network,
    record: RecordingOutlet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fault that ends during a restart or reload would not be reported."""
    judge, decided = Pipeline.push, threading.Event()

    def stop_at_decision(pipeline: Pipeline, block: AudioBlock | LogMelBlock) -> PipelineOutput:
        output = judge(pipeline, block)
        if output.decisions:
            machine.ask_to_stop()
            decided.set()
        return output

    monkeypatch.setattr(Pipeline, "push", stop_at_decision)
    source = playing(*cut(machine_sound(15, fault=0.3), 1600))
    machine = Machine(plan(bundle, network), source, record)
    machine.start()
    assert decided.wait(20)
    assert machine.join(20)
    assert [alert.kind for alert in record.alerts] == ["raised"]
