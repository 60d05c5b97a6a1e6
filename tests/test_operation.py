"""Running and off: what is scored, what is no alert, and what still is one."""

from __future__ import annotations

import csv
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from monitor.alerts import Alert
from monitor.detection.alert_draft import alert_draft
from monitor.detection.operation import OperationStatus
from monitor.detection.settings import OperationSettings
from monitor.domain import AudioBlock, FloatArray, LogMelBlock
from monitor.features.log_mel_frames import log_mel_frames
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.offline.healthy_set import MachineStoppedError, read_healthy_set
from monitor.outbox.series import AlertSeries
from monitor.pipeline import Pipeline, PipelineOutput
from tests.bundles import SPEC, make_bundle
from tests.command_line import auscult
from tests.sounds import output_of
from tests.stopping_machine import (
    OFF_OR_NOT,
    RATE_HZ,
    bundle_of,
    faulty,
    room_sound,
    running,
    stream,
)
from training.sound.operation import learn_operation
from training.sound.recordings import Recording

RUNNING, OFF, TRANSITION = (
    OperationStatus.RUNNING,
    OperationStatus.OFF,
    OperationStatus.TRANSITION,
)


@pytest.fixture(scope="module", params=OFF_OR_NOT)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_of(tmp_path_factory.mktemp("operation"), request.param)


@pytest.fixture(scope="module")
def network(bundle: Bundle) -> Network:
    return Network(bundle)


def followed(
    bundle: Bundle, network: Network, sound: FloatArray, **values: float
) -> tuple[Pipeline, PipelineOutput]:
    """The pipeline after a stream, and its whole output."""
    pipeline = Pipeline(bundle, network=network, operation=OperationSettings(**values))
    return pipeline, output_of(pipeline, sound, [])


def statuses(output: PipelineOutput) -> list[OperationStatus]:
    return [change.status for change in output.operation]


def kinds(output: PipelineOutput) -> list[tuple[str, str]]:
    return [(decision.kind, decision.reason) for decision in output.decisions]


def identified(bundle: Bundle, output: PipelineOutput) -> list[Alert]:
    """The alerts as they would be published."""
    series = AlertSeries(0)
    return [
        series.identify(alert_draft(decision, bundle, "machine", lambda s: s))
        for decision in output.decisions
    ]


def plain(output: PipelineOutput) -> list[object]:
    """The output in a form that can be compared."""
    return [
        [(s.value, s.loss, s.first_sample, s.end_sample) for s in output.scores],
        [asdict(d) | {"band_error": None} for d in output.decisions],
        output.operation,
        [(s.status, s.reason) for s in output.states],
    ]


EVENTFUL = stream(
    running(12),
    room_sound(9),
    running(18, 3),
    faulty(14),
    room_sound(8, seed=1),
    running(1.5, 4),
    room_sound(7, seed=2),
    faulty(45, 5),
    running(8, 6) * np.float32(0.5),
)


@settings(max_examples=8)
@given(data=st.data())
def test_any_cut_gives_the_same_output(
    bundle: Bundle, network: Network, data: st.DataObject
) -> None:
    """Live sound gives other states or alerts than a recording of it."""
    cuts = data.draw(st.lists(st.integers(0, len(EVENTFUL)), max_size=60))
    whole = output_of(Pipeline(bundle, network=network), EVENTFUL, [])
    pieces = output_of(Pipeline(bundle, network=network), EVENTFUL, cuts)
    assert OFF in statuses(whole)
    assert whole.decisions
    assert plain(pieces) == plain(whole)


def test_a_machine_that_stops_and_starts_raises_nothing(bundle: Bundle, network: Network) -> None:
    """Switching the machine off or on raises an alert, or is not noticed."""
    sound = stream(running(20), room_sound(20), running(20, 3), room_sound(20, seed=1))
    _, output = followed(bundle, network, sound)
    assert statuses(output) == [RUNNING, OFF, TRANSITION, RUNNING, OFF]
    assert [change.is_start for change in output.operation] == [False, False, False, True, False]
    assert output.decisions == []
    stopped_s = output.operation[1].at_sample / RATE_HZ
    assert 19.0 <= stopped_s <= 21.0
    assert not [s for s in output.scores if 21 < s.first_sample / RATE_HZ < 40]
    assert "off" in [state.status.value for state in output.states]


@pytest.mark.parametrize("noise_level", [0.01, 0.1])
def test_hammering_beside_a_machine_that_is_off_raises_nothing(
    bundle: Bundle, network: Network, noise_level: float
) -> None:
    """Work beside the machine is taken for the machine, and raises an alert."""
    sound = room_sound(60)
    for at in range(10 * RATE_HZ, 50 * RATE_HZ, RATE_HZ // 2):
        length = RATE_HZ // 8
        decay = np.exp(-np.arange(length) / (0.02 * RATE_HZ))
        blow = np.random.default_rng(at).normal(0, noise_level, length) * decay
        sound[at : at + length] += blow.astype(np.float32)
    pipeline, output = followed(bundle, network, sound)
    assert output.decisions == []
    assert pipeline.operation is OFF


def test_a_machine_that_starts_beside_noise_is_scored(bundle: Bundle, network: Network) -> None:
    """A fault after a start in a loud hall is missed."""
    loud = np.random.default_rng(7).normal(0, 0.01, 20 * RATE_HZ).astype(np.float32)
    sound = stream(room_sound(20) + loud, running(30), faulty(20))
    _, output = followed(bundle, network, sound)
    assert ("raised", "") in kinds(output)
    assert output.decisions[-1].at_sample > 50 * RATE_HZ


@pytest.mark.parametrize("gain_db", [-6.0, -20.0])
def test_a_machine_that_is_only_quieter_is_still_scored(
    bundle: Bundle, network: Network, gain_db: float
) -> None:
    """A microphone with a lower gain ends the monitoring without a fault being reported."""
    gain = np.float32(10 ** (gain_db / 20))
    sound = stream(running(20), running(70, 3) * gain, faulty(20) * gain)
    pipeline, output = followed(bundle, network, sound)
    assert pipeline.operation is RUNNING
    assert OFF not in statuses(output)
    assert kinds(output) == [("raised", "")]
    assert output.decisions[0].at_sample > 90 * RATE_HZ
    assert "level_shift" in [warning.name for warning in pipeline.warnings]


@pytest.mark.parametrize("begins_off", [True, False])
def test_a_machine_that_starts_at_a_lower_gain_is_scored(
    bundle: Bundle, network: Network, begins_off: bool
) -> None:
    """With a lower gain of the microphone, no short run of a machine is ever scored."""
    gain = np.float32(10 ** (-10 / 20))
    before = [room_sound(15) * gain] if begins_off else []
    pipeline, output = followed(bundle, network, stream(*before, running(20) * gain))
    assert pipeline.operation is RUNNING
    assert sum(score.end_sample > 10 * RATE_HZ for score in output.scores) >= 10
    assert output.decisions == []


def test_a_fault_that_makes_some_bands_quieter_is_a_fault(bundle: Bundle, network: Network) -> None:
    """A machine that lost a part of its sound is taken for one that is off."""
    frames = log_mel_frames(stream(running(20), running(30, 3)), SPEC)
    frames[len(frames) * 2 // 5 :, 40:90] -= 20.0
    pipeline = Pipeline(bundle, network=network)
    output = pipeline.push(LogMelBlock(frames, 0))
    assert kinds(output) == [("raised", "")]
    assert pipeline.operation is RUNNING


def test_a_stop_clears_an_alert(bundle: Bundle, network: Network) -> None:
    """The alert of a machine that was switched off stays raised for ever."""
    sound = stream(running(20), faulty(15), room_sound(15))
    pipeline, output = followed(bundle, network, sound)
    assert kinds(output) == [("raised", ""), ("cleared", "stopped")]
    assert 35 * RATE_HZ < output.decisions[1].at_sample < 45 * RATE_HZ
    assert pipeline.state.status.value == "off"


def test_a_fault_that_is_back_after_a_stop_continues_its_alert(
    bundle: Bundle, network: Network
) -> None:
    """Each start of a faulty machine gives another alert."""
    sound = stream(running(20), faulty(15), room_sound(15), faulty(60, 5))
    _, output = followed(bundle, network, sound)
    assert kinds(output) == [("raised", ""), ("cleared", "stopped"), ("raised", "")]
    first, cleared, again = identified(bundle, output)
    assert first.alert_id == cleared.alert_id == again.alert_id
    assert len({first.event_id, cleared.event_id, again.event_id}) == 3


def test_a_fault_long_after_a_stop_is_another_alert(bundle: Bundle, network: Network) -> None:
    """An old alert is continued by a fault that has nothing to do with it."""
    sound = stream(running(20), faulty(15), room_sound(15), running(40, 4), faulty(20, 5))
    _, output = followed(bundle, network, sound, same_fault_s=20.0)
    assert kinds(output) == [("raised", ""), ("cleared", "stopped"), ("raised", "")]
    first, _, other = identified(bundle, output)
    assert first.alert_id != other.alert_id


@pytest.mark.parametrize("seconds", [1.0, 2.8])
def test_a_stutter_loses_no_score(bundle: Bundle, network: Network, seconds: float) -> None:
    """A machine that falters for a second is not scored for some seconds."""
    sound = stream(running(20), room_sound(seconds), running(20, 3))
    _, output = followed(bundle, network, sound)
    assert statuses(output) == [RUNNING]
    hops = {b.first_sample - a.first_sample for a, b in pairwise(output.scores)}
    assert hops == {SPEC.window_hop_samples}
    assert output.scores[0].first_sample == 0
    assert output.scores[-1].end_sample > 40 * RATE_HZ


@pytest.mark.parametrize("after", [running(20, 3), room_sound(20)], ids=["running", "off"])
@pytest.mark.parametrize("before_s", [21.0, 23.0, 30.0, 41.0, 43.0])
def test_nothing_is_scored_across_a_gap(
    bundle: Bundle, network: Network, before_s: float, after: FloatArray
) -> None:
    """Sound from both sides of a gap is joined, or a gap in a change raises an alert."""
    before = stream(running(20), room_sound(20), running(10, 3))[: round(before_s * RATE_HZ)]
    pipeline = Pipeline(bundle, network=network)
    outputs = [pipeline.push(AudioBlock(before, RATE_HZ, 0))]
    start = 100 * RATE_HZ
    outputs.append(pipeline.push(AudioBlock(after, RATE_HZ, start, discontinuous=True)))
    outputs.append(pipeline.finish())
    scores = [score for output in outputs for score in output.scores]
    assert not [s for s in scores if s.first_sample < start < s.end_sample]
    assert [s.end_sample for s in scores] == sorted(s.end_sample for s in scores)
    spans = {s.end_sample - s.first_sample for s in scores}
    assert max(spans) <= bundle.actual_span_s * RATE_HZ + SPEC.window_samples
    assert not [d for output in outputs for d in output.decisions]
    assert pipeline.operation is (RUNNING if len(after) and after.std() > 0.01 else OFF)


def test_log_mel_gives_the_states_of_its_sound(bundle: Bundle, network: Network) -> None:
    """A machine that sends features has other states than one that sends sound."""
    frames = log_mel_frames(EVENTFUL, SPEC)
    pipeline = Pipeline(bundle, network=network)
    pieces = [pipeline.push(LogMelBlock(frames[i : i + 7], i)) for i in range(0, len(frames), 7)]
    expected = output_of(Pipeline(bundle, network=network), EVENTFUL, [])
    assert [change for piece in pieces for change in piece.operation] == expected.operation
    assert [s.value for p in pieces for s in p.scores] == [s.value for s in expected.scores]


def test_a_bundle_without_states_scores_everything(tmp_path: Path) -> None:
    """A bundle of the version before changes its behaviour."""
    bundle = make_bundle(tmp_path / "bundle")
    pipeline = Pipeline(bundle)
    output = output_of(pipeline, stream(running(20), room_sound(20)), [])
    assert pipeline.operation is None
    assert output.operation == []
    assert kinds(output) == [("raised", "")]
    hops = {b.first_sample - a.first_sample for a, b in pairwise(output.scores)}
    assert hops == {SPEC.window_hop_samples}


def test_an_unclear_fall_of_the_level_is_a_warning(bundle: Bundle, network: Network) -> None:
    """Sound between running and off raises an alert at once, or nobody learns of it."""
    pipeline = Pipeline(bundle, network=network)
    pipeline.push(AudioBlock(running(20), RATE_HZ, 0))
    quieter = lfilter([0.4], [1.0, -0.6], running(20, 3)).astype(np.float32)
    output = pipeline.push(AudioBlock(quieter, RATE_HZ, 20 * RATE_HZ))
    assert statuses(output) == [TRANSITION]
    assert [warning.name for warning in pipeline.warnings] == ["unusually_quiet"]
    assert output.decisions == []
    pipeline.push(AudioBlock(running(12, 4), RATE_HZ, 40 * RATE_HZ))
    assert pipeline.warnings == ()
    assert pipeline.operation is RUNNING


def test_a_fault_that_is_there_from_a_start_on_raises_an_alert(
    bundle: Bundle, network: Network
) -> None:
    """A machine that starts with a fault is never reported, or before it is certain."""
    sound = stream(running(20), room_sound(15), faulty(60))
    _, output = followed(bundle, network, sound, start_fault_s=30.0)
    assert kinds(output) == [("raised", "")]
    started = next(change.end_sample for change in output.operation if change.is_start)
    assert 30.0 <= (output.decisions[0].at_sample - started) / RATE_HZ < 31.0


def test_a_fault_from_the_start_on_is_found_in_short_runs(bundle: Bundle, network: Network) -> None:
    """A faulty machine that never runs for long is never reported."""
    short = [stream(room_sound(12, seed=n), faulty(24, 40 + n)) for n in range(3)]
    _, output = followed(bundle, network, stream(running(20), *short), start_fault_s=30.0)
    starts = [change.end_sample for change in output.operation if change.is_start]
    assert len(starts) == 3
    assert kinds(output) == [("raised", ""), ("cleared", "stopped"), ("raised", "")]
    assert starts[1] < output.decisions[0].at_sample < starts[2]


@pytest.mark.parametrize(("run_s", "warned"), [(10, True), (25, False)])
def test_runs_that_are_too_short_for_an_alert_are_a_warning(
    bundle: Bundle, network: Network, run_s: float, warned: bool
) -> None:
    """A machine of short runs is `ok` or `off` for ever, and no fault of it is reported."""
    runs = [stream(faulty(run_s, 50 + n), room_sound(8, seed=n)) for n in range(12)]
    pipeline, output = followed(bundle, network, stream(*runs))
    assert ("short_runs" in [one.name for one in pipeline.warnings]) is warned
    assert bool(output.decisions) is not warned


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A healthy recording, one that stops, one of the machine that is off, and a faulty one."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    sounds = {
        "running": running(20, 30),
        "stops": stream(running(15, 31), room_sound(10, seed=30)),
        "off": room_sound(20, seed=31),
        "faulty": faulty(20, 32),
    }
    for name, samples in sounds.items():
        soundfile.write(folder / f"{name}.flac", samples, RATE_HZ)
    return folder


def test_replay_gives_no_score_to_a_machine_that_is_off(
    bundle: Bundle, recordings: Path, tmp_path: Path
) -> None:
    """A recording of the machine that is off is an error, or an anomaly."""
    files, scores = tmp_path / "files.csv", tmp_path / "scores.csv"
    outcome = auscult(
        *("replay", bundle.path, recordings, "--files", files, "--scores", scores, "--json")
    )
    assert outcome.status == 0
    assert "does not run in 1 of 4 recordings" in outcome.err
    with files.open(newline="") as file:
        rows = {Path(row["file"]).stem: row for row in csv.DictReader(file)}
    off = rows["off"]
    values = [off[key] for key in ("score", "anomalous", "alerts", "error", "operation")]
    assert values == ["", "0", "0", "", "off"]
    assert {rows[name]["operation"] for name in ("running", "stops", "faulty")} == {"running"}
    assert [rows[name]["anomalous"] for name in ("running", "stops", "faulty")] == ["0", "0", "1"]
    assert "off.flac" not in scores.read_text()


def test_calibration_leaves_out_a_machine_that_is_off(
    bundle: Bundle, network: Network, recordings: Path
) -> None:
    """The threshold of a machine that runs is set from the sound of the room."""
    healthy = [recordings / f"{name}.flac" for name in ("running", "off", "stops")]
    used = read_healthy_set(healthy, bundle, network)
    assert [Path(name).stem for name in used.names] == ["running", "stops"]
    assert [Path(name).stem for name in used.stopped] == ["off"]
    with pytest.raises(MachineStoppedError, match=r"off\.flac: the machine does not run here"):
        read_healthy_set([recordings / "off.flac"], bundle, network)


@pytest.mark.parametrize(("n_running", "fault_gain", "n_off"), [(11, 3.0, 0), (2, 1.0, 10)])
def test_a_few_loud_recordings_do_not_make_all_others_off(
    n_running: int, fault_gain: float, n_off: int
) -> None:
    """A faulty recording counts as the running machine, and all healthy ones as off."""
    hiss = np.diff(np.random.default_rng(5).normal(0, 0.05, 15 * RATE_HZ + 1)).astype(np.float32)
    sounds = [running(15, seed) for seed in range(n_running)]
    if n_off:
        sounds += [room_sound(15, seed=seed) * np.float32(0.5) for seed in range(n_off)]
    else:
        sounds.append((running(15, 90) + hiss) * np.float32(fault_gain))
    recordings = [Recording(str(n), log_mel_frames(s, SPEC)) for n, s in enumerate(sounds)]
    operation = learn_operation(recordings, SPEC, SPEC.n_mels)
    assert operation is not None
    off = sum(state.share for state in operation.states if state.is_off)
    assert off == pytest.approx(n_off / len(sounds), abs=0.02)


def test_starts_and_stops_in_the_training_sound_do_not_hide_off() -> None:
    """A machine that is off in a louder room, or for a few seconds, counts as running."""
    ramp = np.linspace(-1.0, 0.0, 4 * RATE_HZ)
    slowly = (10.0 ** (2.0 * ramp)).astype(np.float32)  # 40 dB within four seconds
    sounds = []
    for seed in range(3):
        parts = [running(4, seed) * slowly, running(22, seed), running(4, seed) * slowly[::-1]]
        still = np.zeros(13 * RATE_HZ, np.float32)
        sounds.append(stream(still, *parts, still) + room_sound(56, seed=seed))
    recordings = [Recording(str(n), log_mel_frames(s, SPEC)) for n, s in enumerate(sounds)]
    operation = learn_operation(recordings, SPEC, SPEC.n_mels)
    steady = learn_operation(
        [Recording("steady", log_mel_frames(running(22, 0), SPEC))], SPEC, SPEC.n_mels
    )
    assert operation is not None
    assert steady is not None
    assert any(state.is_off for state in operation.states)
    below_db = np.mean(steady.quiet_db) - np.mean(operation.quiet_db)
    assert below_db < 2.0
