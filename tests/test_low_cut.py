"""A high-pass filter in the recording chain is named, and a machine that loses sound is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from monitor.detection.low_cut import LowCut
from monitor.domain import FloatArray, SourceStatus
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.capture import Capture
from monitor.pipeline import Pipeline, PipelineOutput
from tests.bundles import machine_sound, make_bundle
from tests.captures import RATE_HZ, bundle_with_capture, capture_of, healthy_capture
from tests.sounds import noise, output_of


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_with_capture(tmp_path_factory.mktemp("bundle"), healthy_capture())


def high_passed(samples: FloatArray, cut_hz: float, order: int) -> FloatArray:
    sos = signal.butter(order, cut_hz, "highpass", fs=RATE_HZ, output="sos")
    return np.asarray(signal.sosfilt(sos, samples), np.float32)


def with_response(samples: FloatArray, gain_db: Callable[[FloatArray], FloatArray]) -> FloatArray:
    frequencies_hz = np.maximum(np.fft.rfftfreq(len(samples), 1 / RATE_HZ), 1.0)
    spectrum = np.fft.rfft(samples) * 10.0 ** (gain_db(frequencies_hz) / 20.0)
    return np.asarray(np.fft.irfft(spectrum, len(samples)), np.float32)


def with_capture(bundle: Bundle, capture: Capture | None) -> Bundle:
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"capture": capture}))


def reasons(output: PipelineOutput) -> list[str]:
    return [state.reason for state in output.states if state.reason]


@pytest.mark.parametrize("gain", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("cut_hz", [100, 200, 300, 500])
def test_a_high_pass_is_a_changed_chain(
    bundle: Bundle, cut_hz: int, order: int, gain: float
) -> None:
    """A microphone with a low-cut switch raises an alert of a healthy machine."""
    sound = np.float32(gain) * high_passed(machine_sound(20.0, seed=50), cut_hz, order)
    pipeline = Pipeline(bundle)
    output = output_of(pipeline, sound, [])
    assert reasons(output) == ["capture_changed"]
    assert (output.scores, output.decisions) == ([], [])
    assert output.states[-1].status is SourceStatus.DEGRADED
    named_hz = float(output.states[-1].detail.split("below about ")[1].split(" Hz")[0])
    assert named_hz == pytest.approx(cut_hz, rel=0.25)


def test_a_high_pass_raises_an_alert_where_it_is_not_checked(bundle: Bundle) -> None:
    """The tests of this file would pass without the check."""
    pipeline = Pipeline(with_capture(bundle, None))
    output = output_of(pipeline, high_passed(machine_sound(20.0, seed=50), 300, 2), [])
    assert [decision.kind for decision in output.decisions][:1] == ["raised"]


@pytest.mark.parametrize("shelf_db", [-10.0, -15.0, -20.0])
def test_a_machine_that_loses_low_frequencies_is_scored(bundle: Bundle, shelf_db: float) -> None:
    """A part that no longer turns is hidden as a fault of the chain."""
    share = 10.0 ** (shelf_db / 10.0)

    def shelf(frequencies_hz: FloatArray) -> FloatArray:
        lost = (300.0 / frequencies_hz) ** 4
        return np.asarray(10.0 * np.log10((share * lost + 1.0) / (lost + 1.0)))

    output = output_of(Pipeline(bundle), with_response(machine_sound(20.0, seed=50), shelf), [])
    assert reasons(output) == []
    assert [decision.kind for decision in output.decisions][:1] == ["raised"]


@pytest.mark.parametrize("level_db", [-12.0, -6.0, 10.0])
@pytest.mark.parametrize("added_hz", [(20.0, 200.0), (300.0, 7_000.0), (2_000.0, 4_000.0)])
def test_a_fault_that_adds_sound_is_scored(
    bundle: Bundle, added_hz: tuple[float, float], level_db: float
) -> None:
    """Noise of a fault leaves the low frequencies weaker than the rest, as a filter does."""
    sound = machine_sound(20.0, seed=50)
    sos = signal.butter(4, added_hz, "bandpass", fs=RATE_HZ, output="sos")
    added = signal.sosfilt(sos, noise(len(sound), seed=3))
    added *= sound.std() / added.std() * 10.0 ** (level_db / 20.0)
    output = output_of(Pipeline(bundle), sound + added.astype(np.float32), [])
    assert reasons(output) == []
    assert output.scores


def test_scores_go_on_without_the_filter(bundle: Bundle) -> None:
    """A machine stays unmonitored after the switch was used for a while."""
    sound = machine_sound(45.0, seed=50)
    first, second = 15 * RATE_HZ, 30 * RATE_HZ
    sound[first:second] = high_passed(sound, 300, 2)[first:second]
    output = output_of(Pipeline(bundle), sound, [])
    assert (reasons(output), output.decisions) == (["capture_changed"], [])
    assert output.scores[0].first_sample < first
    assert output.scores[-1].end_sample > 44 * RATE_HZ


@settings(max_examples=10)
@given(cuts=st.lists(st.integers(1, 20 * RATE_HZ - 1), max_size=12, unique=True))
def test_any_cutting_gives_the_same(bundle: Bundle, cuts: list[int]) -> None:
    """What is judged depends on how the stream was cut."""
    sound = machine_sound(20.0, seed=50)
    sound[8 * RATE_HZ :] = high_passed(sound, 200, 4)[8 * RATE_HZ :]
    whole, cut = output_of(Pipeline(bundle), sound, []), output_of(Pipeline(bundle), sound, cuts)
    assert [score.value for score in whole.scores] == [score.value for score in cut.scores]
    assert [(s.status, s.reason, s.detail) for s in whole.states] == [
        (s.status, s.reason, s.detail) for s in cut.states
    ]


def test_a_trained_high_pass_is_no_change(tmp_path: Path) -> None:
    """A microphone that always has the filter is never monitored."""
    train = [high_passed(machine_sound(15.0, seed=seed), 200, 2) for seed in range(4)]
    make_bundle(tmp_path, train)
    trained = with_capture(load_bundle(tmp_path), capture_of(train))
    sound = high_passed(machine_sound(20.0, seed=50), 200, 2)
    for gain in (0.1, 1.0, 3.0):
        output = output_of(Pipeline(trained), np.float32(gain) * sound, [])
        assert reasons(output) == []
        assert output.scores


def test_features_with_few_low_bands_have_no_check() -> None:
    """Features that begin at 300 Hz end the program, or make every machine degraded."""
    for spec in (LogMelSpec(n_mels=8), LogMelSpec(f_min_hz=2_500.0), LogMelSpec(n_mels=400)):
        levels_db = np.full(spec.n_mels, -50.0, np.float32)
        values = {"low_db": tuple(levels_db.tolist()), "high_db": tuple(levels_db.tolist())}
        capture = Capture.model_validate(
            {"scored_bands": spec.n_mels, "reach_hz": 8_000.0, **values}
        )
        check = LowCut(capture, spec)
        for drop_db in (0.0, 10.0, 60.0):
            check.add([levels_db - np.float32(drop_db)] * 4)
            assert check.cut_hz is None
