"""The pipeline of one machine: the same sound gives the same output in any blocks."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detection.settings import DetectorSettings
from monitor.domain import AudioBlock, FloatArray, LogMelBlock, SourceStatus
from monitor.errors import SourceFault
from monitor.features.log_mel_frames import log_mel_frames
from monitor.model.bundle import Bundle
from monitor.model.network import Network, NetworkOutput
from monitor.pipeline import Pipeline, PipelineOutput
from tests.bundles import SPEC, machine_sound, make_bundle
from tests.sounds import output_of

RATE_HZ = SPEC.sample_rate_hz
FAULT = 0.1


def plain(output: PipelineOutput) -> list[Any]:
    """The output in a form that can be compared."""
    return [
        [(s.value, s.loss, s.first_sample, s.end_sample) for s in output.scores],
        [asdict(d) | {"band_error": None} for d in output.decisions],
        output.operation,
        [(s.status, s.reason) for s in output.states],
    ]


def eventful() -> FloatArray:
    """Health, a fault, health, silence, health, full-scale clipping, health: 80 s."""
    parts = [machine_sound(20, seed=1), machine_sound(15, seed=2, fault=FAULT)]
    parts += [machine_sound(15, seed=3), np.zeros(5 * RATE_HZ, np.float32)]
    parts += [
        machine_sound(10, seed=4),
        np.sign(machine_sound(5, seed=5)),
        machine_sound(10, seed=6),
    ]
    return np.concatenate(parts)


EVENTFUL = eventful()


def test_log_mel_of_another_bundle_is_another_format(bundle: Bundle, network: Network) -> None:
    """`not_finite` would lead to a search for values that are not numbers."""
    pipeline = Pipeline(bundle, network=network)
    pipeline.push(LogMelBlock(np.zeros((40, SPEC.n_mels // 2), np.float32), 0))
    state = pipeline.state
    assert (state.status, state.reason) == (SourceStatus.DEGRADED, "wrong_format")
    assert str(SPEC.n_mels) in state.detail


class WithoutResult(Network):
    """A network with an encoder that gives NaN."""

    def run(self, *_: Any) -> NetworkOutput:
        raise SourceFault("the encoder gives NaN")


def test_the_end_of_sound_without_a_result_is_a_state(bundle: Bundle) -> None:
    """The last window is often complete only at the end; its fault would end the monitoring."""
    pipeline = Pipeline(bundle, network=WithoutResult(bundle))
    n_samples = SPEC.window_samples * 48_000 // RATE_HZ
    sound = np.random.default_rng(0).normal(0.0, 0.1, n_samples).astype(np.float32)
    pushed = pipeline.push(AudioBlock(sound, 48_000, 0))
    finished = pipeline.finish()
    assert not pushed.windows
    assert len(finished.windows) == 1
    assert (finished.scores, finished.states[-1].reason) == ([], "not_finite")
    assert "the encoder gives NaN" in pipeline.state.detail


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 44_100])
@settings(max_examples=8)
@given(data=st.data())
def test_any_cut_gives_the_same_scores_decisions_and_states(
    bundle: Bundle, network: Network, rate_hz: int, data: st.DataObject
) -> None:
    """Live sound gives other results than a recording of it."""
    # Played too fast the sound is another, but as eventful.
    cuts = data.draw(st.lists(st.integers(0, len(EVENTFUL)), max_size=60))
    whole = output_of(Pipeline(bundle, DetectorSettings(), network), EVENTFUL, [], rate_hz)
    pieces = output_of(Pipeline(bundle, DetectorSettings(), network), EVENTFUL, cuts, rate_hz)
    assert len(whole.scores) > 10
    assert plain(pieces) == plain(whole)


@pytest.mark.parametrize("offset", [-1, 1, 1_999])
def test_a_cut_at_every_change_of_the_source_changes_nothing(
    bundle: Bundle, network: Network, offset: int
) -> None:
    """The size of the blocks moves the start of the sound after a silence."""
    cuts = [cell * RATE_HZ // 4 + offset for cell in range(1, 4 * len(EVENTFUL) // RATE_HZ)]
    whole = output_of(Pipeline(bundle, DetectorSettings(), network), EVENTFUL, [])
    pieces = output_of(Pipeline(bundle, DetectorSettings(), network), EVENTFUL, cuts)
    assert plain(pieces) == plain(whole)


def test_a_fault_is_raised_and_cleared_and_the_microphones_faults_are_not(
    bundle: Bundle, network: Network
) -> None:
    """A muted or clipping microphone raises an alert, or a fault raises none."""
    output = output_of(Pipeline(bundle, DetectorSettings(), network), EVENTFUL, [])
    assert [d.kind for d in output.decisions] == ["raised", "cleared"]
    raised, cleared = (d.at_sample / RATE_HZ for d in output.decisions)
    assert 20 < raised < 30
    assert 35 < cleared < 50
    assert [(s.status.value, s.reason) for s in output.states] == [
        ("ok", ""),
        ("anomaly", ""),
        ("ok", ""),
        ("no_signal", "silence"),
        ("warming", ""),
        ("ok", ""),
        ("degraded", "clipping"),
        ("warming", ""),
        ("ok", ""),
    ]


def test_a_loud_second_raises_nothing(bundle: Bundle, network: Network) -> None:
    """A slammed door raises an alert."""
    sound = machine_sound(40, seed=9)
    sound[20 * RATE_HZ : 21 * RATE_HZ] += machine_sound(1, seed=10, fault=1.0)
    assert output_of(Pipeline(bundle, DetectorSettings(), network), sound, []).decisions == []


def test_a_changed_gain_is_a_state_and_not_a_fault(bundle: Bundle, network: Network) -> None:
    """A changed gain raises an alert."""
    sound = machine_sound(60, seed=11)
    sound[20 * RATE_HZ :] *= np.float32(10 ** (6 / 20))
    pipeline = Pipeline(bundle, DetectorSettings(), network)
    output = output_of(pipeline, sound, [])
    assert output.decisions == []
    assert [one.name for one in pipeline.warnings] == ["level_shift"]
    assert "degraded" not in [s.status.value for s in output.states]


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_a_state_and_never_a_score(
    bundle: Bundle, network: Network, poison: float
) -> None:
    """A broken driver is reported as a fault of the machine, or ends the daemon."""
    sound = machine_sound(30, seed=12)
    sound[15 * RATE_HZ + 7] = poison
    pipeline = Pipeline(bundle, DetectorSettings(), network)
    output = output_of(pipeline, sound, list(range(0, len(sound), 1600)))
    assert output.decisions == []
    assert all(np.isfinite(s.value) for s in output.scores)
    assert SourceStatus.OK in [s.status for s in output.states[-1:]]
    assert "not_finite" in [s.reason for s in output.states]
    assert not [s for s in output.scores if s.first_sample < 15 * RATE_HZ + 7 < s.end_sample]


def test_nothing_is_scored_across_a_discontinuity(bundle: Bundle, network: Network) -> None:
    """Sound from both sides of a gap is scored together."""
    pipeline = Pipeline(bundle, DetectorSettings(), network)
    sound = machine_sound(12, seed=13)
    pipeline.push(AudioBlock(sound, RATE_HZ, 0))
    start = 100 * RATE_HZ
    output = pipeline.push(AudioBlock(sound, RATE_HZ, start, discontinuous=True))
    assert output.states[0].status is SourceStatus.WARMING
    assert min(s.first_sample for s in output.scores) >= start


def test_another_rate_is_resampled(bundle: Bundle, network: Network) -> None:
    """A 48 kHz microphone cannot be used with a 16 kHz bundle."""
    t_s = np.arange(30 * 48_000) / 48_000
    sound = np.interp(t_s, np.arange(30 * RATE_HZ) / RATE_HZ, machine_sound(30, seed=1))
    pipeline = Pipeline(bundle, DetectorSettings(), network)
    output = output_of(pipeline, sound.astype(np.float32), [], rate_hz=48_000)
    assert len(output.scores) > 45
    assert output.scores[-1].end_sample <= 30 * RATE_HZ


def test_log_mel_gives_the_scores_of_its_sound(bundle: Bundle, network: Network) -> None:
    """A machine that sends features gets other scores than one that sends sound."""
    sound = machine_sound(20, seed=14)
    frames = log_mel_frames(sound, SPEC)
    pipeline = Pipeline(bundle, DetectorSettings(), network)
    pieces = [pipeline.push(LogMelBlock(frames[i : i + 7], i)) for i in range(0, len(frames), 7)]
    expected = output_of(Pipeline(bundle, DetectorSettings(), network), sound, [])
    assert [s.value for p in pieces for s in p.scores] == [s.value for s in expected.scores]


def test_a_slow_rise_is_reported_as_drift_and_moves_no_threshold(tmp_path: Path) -> None:
    """A slow change is learned, or is not noticed before it is a fault."""
    bundle = make_bundle(tmp_path / "bundle", [machine_sound(15, seed=s) for s in range(32)])
    network = Network(bundle)
    frames = log_mel_frames(machine_sound(600, seed=40), SPEC)
    tilt_db = np.linspace(-0.05, 0.05, SPEC.n_mels, dtype=np.float32)
    for changed, expected in ((frames, False), (frames + tilt_db, True)):
        pipeline = Pipeline(bundle, DetectorSettings(), network)
        before = pipeline.watch.thresholds.alarm
        output = pipeline.push(LogMelBlock(changed, 0))
        assert ("drift" in [one.name for one in pipeline.warnings]) is expected
        assert output.decisions == []
        assert pipeline.watch.thresholds.alarm == before


@pytest.mark.parametrize("fault", [0.004, 0.1])
def test_faults_with_alerts_are_not_drift(tmp_path: Path, fault: float) -> None:
    """Sound shortly before and after an alert counts as healthy and is reported as drift."""
    bundle = make_bundle(tmp_path / "bundle", [machine_sound(15, seed=s) for s in range(32)])
    parts = []
    for number in range(4):
        parts.append(machine_sound(20, seed=50 + number))
        parts.append(machine_sound(15, seed=60 + number, fault=fault))
    parts.append(machine_sound(30, seed=70))
    pipeline = Pipeline(bundle, DetectorSettings(), Network(bundle))
    output = output_of(pipeline, np.concatenate(parts), [])
    assert [d.kind for d in output.decisions] == 4 * ["raised", "cleared"]
    assert {s.reason for s in output.states} == {""}
