"""An offset of the samples (DC) that begins: the envelope of the lowest frequencies changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.audio.cells import SoundCells
from monitor.detection.offset_leak import OffsetLeak
from monitor.domain import AudioBlock, FloatArray
from monitor.model.capture import Capture
from monitor.pipeline import Pipeline
from tests.bundles import SPEC, machine_sound
from tests.captures import RATE_HZ, bundle_with_capture, capture_of, healthy_capture
from tests.conftest import shared_data
from tests.sounds import levels, output_of
from tests.test_capture_recordings import MACHINES, sounds
from training.sound.capture import capture_of as trained_capture
from training.sound.recordings import read_recording

OFFSET = 0.006
"""-22 dB of the healthy sound below 500 Hz."""
BEGINS_S = 20.0


def healthy_with(offset: float | None) -> Capture:
    """Healthy sound that is at times louder than ``OFFSET`` in the lowest mel band."""
    capture = healthy_capture()
    high_db = (capture.high_db[0] + 10.0, *capture.high_db[1:])
    return capture.model_copy(update={"high_db": high_db, "offset": offset})


def found_in(capture: Capture, samples: FloatArray) -> list[float]:
    """Each window's offset, where it changes what is scored."""
    leak, found = OffsetLeak(capture, SPEC), []
    for end_sample, cell in SoundCells().push(AudioBlock(samples, RATE_HZ, 0)):
        leak.measure(end_sample, cell)
    for number, levels_db in enumerate(levels(samples)):
        leak.add(number * SPEC.window_hop_samples + SPEC.window_samples, levels_db)
        if leak.offset is not None:
            found.append(leak.offset)
    return found


@pytest.mark.parametrize(
    ("offset", "trained", "reason"),
    [
        (OFFSET, 0.0, "dc_offset"),
        (-OFFSET, 0.0005, "dc_offset"),
        (OFFSET, OFFSET, ""),
        (OFFSET, None, ""),
        (0.0005, 0.0, ""),
    ],
)
def test_an_offset_that_begins_is_named(
    tmp_path: Path, offset: float, trained: float | None, reason: str
) -> None:
    """A sound card that drifts raises an alert about the machine."""
    bundle = bundle_with_capture(tmp_path, healthy_with(trained))
    sound = machine_sound(60.0, seed=50)
    sound[round(BEGINS_S * RATE_HZ) :] += np.float32(offset)
    output = output_of(Pipeline(bundle), sound, [])
    assert [state.reason for state in output.states if state.reason] == [reason] * bool(reason)
    if reason:
        scored_s = max(one.end_sample for one in output.scores) / RATE_HZ
        assert BEGINS_S < scored_s <= BEGINS_S + 5.0
        assert f"DC offset of {offset:+.4f}"[:-2] in output.states[-1].detail
    pieces = output_of(Pipeline(bundle), sound, [1_000, 345_001, 345_002, 700_000])
    assert pieces.states == output.states
    assert [one.value for one in pieces.scores] == [one.value for one in output.scores]


def test_a_fault_that_clips_is_scored() -> None:
    """A machine so loud that its sound is clipped on one side raises no alert."""
    capture = healthy_with(0.0)
    sound = machine_sound(20.0, seed=50) + np.float32(OFFSET)
    assert found_in(capture, sound)
    sound[:: RATE_HZ // 4] = 0.95
    assert not found_in(capture, sound)


@pytest.mark.parametrize("seconds", [3.0, 20.0])
def test_the_offset_of_the_training_sound_is_known(tmp_path: Path, seconds: float) -> None:
    """A sound card with an offset is trained, and then never judged."""
    sounds = [machine_sound(seconds, seed=seed) + np.float32(0.01) for seed in range(4)]
    paths = [tmp_path / f"{number}.wav" for number in range(4)]
    for path, samples in zip(paths, sounds, strict=True):
        soundfile.write(path, samples, RATE_HZ, subtype="PCM_16")
    recordings = [read_recording(path, SPEC) for path in paths]
    capture = trained_capture(recordings, SPEC, SPEC.bands_below(0.9 * RATE_HZ / 2), 0.9)
    assert capture is not None
    assert capture.offset == pytest.approx(0.01, rel=0.1)
    assert not found_in(capture, machine_sound(20.0, seed=50) + np.float32(0.01))


@pytest.mark.data
@pytest.mark.parametrize("machine", MACHINES)
def test_real_sound_is_no_offset_and_one_that_is_added_is(machine: str) -> None:
    """A broken machine or one that is off raises no alert, or another sound card does."""
    folder = shared_data(machine)
    healthy_name, other_names = MACHINES[machine]
    healthy = sounds(folder / healthy_name, 6)
    trained = max(abs(float(one.mean())) for one in healthy)
    capture = capture_of(healthy).model_copy(update={"offset": trained})
    others = [one for name in (healthy_name, *other_names) for one in sounds(folder / name, 20)]
    assert not any(found_in(capture, one) for one in others)
    assert found_in(capture, healthy[0] + np.float32(0.02))
