"""Zeros in place of lost sound are named, and never raise an alert."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from monitor.audio.zeroed_sound import is_zeroed
from monitor.domain import FloatArray
from monitor.model.bundle import Bundle
from monitor.pipeline import Pipeline
from tests.bundles import SPEC, machine_sound
from tests.captures import RATE_HZ, bundle_with_capture, healthy_capture
from tests.sounds import output_of
from training.sound.capture import capture_of
from training.sound.recordings import read_recording


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Of training sound without zeros."""
    capture = healthy_capture().model_copy(update={"zeroed_share": 0.0})
    return bundle_with_capture(tmp_path_factory.mktemp("bundle"), capture)


def with_zeros(
    samples: FloatArray, rate_hz: int, *, length_s: float, every_s: float, until_s: float = 1e9
) -> FloatArray:
    """Sound with stretches of zeros, the first one after ``every_s``."""
    zeroed = samples.copy()
    for start in np.arange(every_s, min(until_s, len(samples) / rate_hz), every_s):
        first = round(start * rate_hz)
        zeroed[first : first + round(length_s * rate_hz)] = 0.0
    return zeroed


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 48_000])
@pytest.mark.parametrize(("length_s", "every_s"), [(0.02, 5.0), (0.05, 2.0), (0.1, 2.0)])
def test_zeros_in_place_of_lost_sound_are_named_and_raise_no_alert(
    bundle: Bundle, length_s: float, every_s: float, rate_hz: int
) -> None:
    """A network that loses packets wakes people at night."""
    fine = soxr.resample(machine_sound(40.0, seed=50), RATE_HZ, rate_hz, "HQ").astype(np.float32)
    sound = with_zeros(fine, rate_hz, length_s=length_s, every_s=every_s)
    output = output_of(Pipeline(bundle), sound, [], rate_hz=rate_hz)
    assert [state.reason for state in output.states if state.reason] == ["capture_changed"]
    assert "exact zeros" in output.states[-1].detail
    assert not output.decisions
    pieces = output_of(Pipeline(bundle), sound, [1_000, 70_001, 70_002, 400_000], rate_hz=rate_hz)
    assert pieces.states == output.states
    assert [one.value for one in pieces.scores] == [one.value for one in output.scores]


def test_sound_without_zeros_is_scored_again_after_half_a_minute(bundle: Bundle) -> None:
    """A machine is never monitored again after a busy minute."""
    sound = with_zeros(
        machine_sound(70.0, seed=50), RATE_HZ, length_s=0.05, every_s=2.0, until_s=20.0
    )
    output = output_of(Pipeline(bundle), sound, [])
    assert not output.decisions
    ends_s = np.array([one.end_sample for one in output.scores]) / RATE_HZ
    assert ends_s[-1] > 69.0
    assert not ((ends_s > 5.0) & (ends_s < 47.0)).any()


def test_one_short_dropout_changes_no_state(bundle: Bundle) -> None:
    """The state changes with every packet that is lost in a week."""
    sound = with_zeros(
        machine_sound(40.0, seed=50), RATE_HZ, length_s=0.05, every_s=20.0, until_s=30.0
    )
    output = output_of(Pipeline(bundle), sound, [])
    assert not any(state.reason for state in output.states)
    assert not output.decisions


def test_a_bundle_that_does_not_know_its_training_sound_looks_for_no_zeros(tmp_path: Path) -> None:
    """A microphone with a noise gate is not monitored any more after an upgrade."""
    earlier = bundle_with_capture(tmp_path / "earlier", healthy_capture())
    sound = with_zeros(machine_sound(30.0, seed=50), RATE_HZ, length_s=0.05, every_s=2.0)
    assert not any(state.reason for state in output_of(Pipeline(earlier), sound, []).states)


@pytest.mark.parametrize("level", [1e-5, 1e-4, 1e-3, 1e-2])
def test_quiet_sound_of_16_bits_has_no_dropouts(level: float) -> None:
    """A machine that is off, with a low gain, is called a network that loses packets."""
    sound = machine_sound(10.0, seed=3)
    quiet = np.round(sound / sound.std() * np.float32(level) * 2**15) / np.float32(2**15)
    cells = quiet.reshape(-1, RATE_HZ // 2)
    assert not any(is_zeroed(cell, RATE_HZ) for cell in cells)


@pytest.mark.parametrize("first", [0, 1, 79, 4_000, 7_840])
def test_a_stretch_of_zeros_is_found_anywhere(first: int) -> None:
    """Lost sound is scored because of where it was lost."""
    cell = machine_sound(0.5, seed=3)
    cell[cell == 0.0] = 1e-3
    assert not is_zeroed(cell, RATE_HZ)
    cell[first : first + 160] = 0.0
    assert is_zeroed(cell, RATE_HZ)
    cell[first + 80] = 1e-3
    assert not is_zeroed(cell, RATE_HZ)


def test_training_sound_with_zeros_is_named_and_known(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A machine with a noise gate is trained, and then never judged."""
    sounds = [machine_sound(20.0, seed=seed) for seed in range(4)]
    sounds[2] = with_zeros(sounds[2], RATE_HZ, length_s=0.05, every_s=2.0)
    recordings = []
    for number, sound in enumerate(sounds):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, sound, RATE_HZ, subtype="PCM_16")
        recordings.append(read_recording(path, SPEC))
    n_scored = SPEC.bands_below(0.9 * RATE_HZ / 2)
    with caplog.at_level(logging.WARNING):
        capture = capture_of(recordings, SPEC, n_scored, 0.9)
    assert capture is not None
    assert capture.zeroed_share == pytest.approx(9 / 40)
    assert "2.wav has stretches of exact zeros" in caplog.text
    trained = bundle_with_capture(tmp_path / "bundle", capture)
    output = output_of(Pipeline(trained), sounds[2], [])
    assert not any("exact zeros" in state.detail for state in output.states)
    assert capture_of(recordings[:2], SPEC, n_scored, 0.9).zeroed_share == 0.0  # type: ignore[union-attr]  # bands are left out
