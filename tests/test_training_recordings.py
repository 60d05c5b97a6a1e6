"""Recordings for training: the frames of the run time, splits, random windows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from monitor.audio.recording_frames import frames_of
from monitor.audio.recordings import recording_blocks
from monitor.domain import FloatArray, SourceState
from monitor.errors import BadInputError
from monitor.features.log_mel import FrameWindows
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.network import Network, NetworkOutput
from monitor.pipeline import Pipeline
from tests.bundles import machine_sound, make_bundle
from tests.tiny_sound import SPEC, simulated_frames
from training.sound.recordings import (
    Recording,
    WindowBatches,
    are_apart,
    cut_into,
    folds,
    folds_of_files,
    read_recording,
)


class RecordingNetwork(Network):
    """A network that keeps the windows it is given."""

    seen: list[FloatArray]

    def run(
        self,
        windows_db: FloatArray | Sequence[FloatArray],
        samples: FloatArray | Sequence[FloatArray | None] = (),
    ) -> NetworkOutput:
        self.seen = [*getattr(self, "seen", []), np.stack(list(windows_db))]
        return super().run(windows_db, samples)


def windows_of_the_pipeline(path: Path, folder: Path) -> FloatArray:
    """The windows that the network receives when the recording is replayed."""
    bundle = make_bundle(folder / "bundle")
    network = RecordingNetwork(bundle)
    pipeline = Pipeline(bundle, network=network)
    for block in recording_blocks(path, bundle.spec):
        pipeline.push(block)
    pipeline.finish()
    return np.concatenate(network.seen)


@pytest.mark.parametrize("rate_hz", [16_000, 22_050])
def test_training_uses_the_windows_of_the_pipeline(tmp_path: Path, rate_hz: int) -> None:
    """A threshold is calibrated for windows that never occur at run time."""
    path = tmp_path / "a.wav"
    sf.write(path, machine_sound(10.0), rate_hz, subtype="FLOAT")
    actual = read_recording(path, LogMelSpec()).windows(LogMelSpec())
    np.testing.assert_array_equal(actual, windows_of_the_pipeline(path, tmp_path))


@pytest.mark.parametrize("rate_hz", [16_000, 22_050])
def test_frames_leave_out_what_the_pipeline_leaves_out(tmp_path: Path, rate_hz: int) -> None:
    """A muted microphone in the middle of a recording becomes part of what is healthy."""
    spec = LogMelSpec()
    path = tmp_path / "a.wav"
    sound = machine_sound(12.0)
    sound[5 * 16_000 : 8 * 16_000] = 0.0
    sf.write(path, sound, rate_hz, subtype="FLOAT")
    windows = FrameWindows(spec)
    values, reasons = [], set()
    for part in frames_of(path, spec):
        if isinstance(part, SourceState):
            reasons.add(part.reason)
            continue
        if part.discontinuous:
            windows.reset(part.first_sample)
        values += [window.values_db for window in windows.append(part.frames_db)]
    assert reasons == {"silence"}
    np.testing.assert_array_equal(np.stack(values), windows_of_the_pipeline(path, tmp_path))


def test_the_longest_usable_part_of_a_recording_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Silence is learned as healthy, or sound is left out without a word."""
    sound = machine_sound(12.0)
    sound[3 * 16_000 : 5 * 16_000] = 0.0
    sf.write(tmp_path / "a.wav", sound, 16_000, subtype="FLOAT")
    recording = read_recording(tmp_path / "a.wav", LogMelSpec())
    assert 5.0 < recording.seconds(LogMelSpec()) < 7.0
    assert "a.wav: digital silence" in caplog.text
    assert "only the longest usable part" in caplog.text


@pytest.mark.parametrize(
    ("samples", "complaint"),
    [(np.zeros(32_000, np.float32), "silence"), (machine_sound(0.5), "too short")],
)
def test_a_silent_or_short_recording_is_refused(
    tmp_path: Path, samples: np.ndarray, complaint: str
) -> None:
    """A muted recording is learned as an operating state of the machine."""
    sf.write(tmp_path / "a.wav", samples, 16_000)
    with pytest.raises(BadInputError, match=complaint):
        read_recording(tmp_path / "a.wav", LogMelSpec())


def test_every_recording_is_in_one_fold() -> None:
    """A recording is never left out, or the folds differ in size."""
    fold = folds(23, 5, seed=1)
    assert np.ptp(np.bincount(fold, minlength=5)) <= 1
    assert len(fold) == 23
    np.testing.assert_array_equal(fold, folds(23, 5, seed=1))


def test_the_sections_of_a_file_are_left_out_together() -> None:
    """A section is scored with statistics of the others of its file, and scores too low."""
    file = [0, 0, 0, 1, 1, 2, 3, 3]
    assert are_apart(file, folds_of_files(file, 3, seed=1))
    assert len(set(folds_of_files([0, 0, 0, 1], 10, seed=1).tolist())) == 4
    assert not are_apart([0, 0, 0, 1], folds_of_files([0, 0, 0, 1], 10, seed=1))


def test_long_recordings_are_cut_only_if_there_are_few() -> None:
    """With one long recording nothing can be left out, or many recordings are cut needlessly."""
    recording = Recording("a", simulated_frames(0, seconds=60.0))
    sections = cut_into([recording, recording], 8, least_frames=100)
    assert len(sections) == 8
    whole = np.concatenate([section.frames_db for section in sections[:4]])
    np.testing.assert_array_equal(whole, recording.frames_db)
    assert cut_into([recording] * 8, 8, least_frames=100) == [recording] * 8
    assert len(cut_into([recording], 8, least_frames=10_000)) == 1


def test_every_machine_has_the_same_share_of_windows() -> None:
    """A reference with much sound outweighs the machine, or a seed gives other windows."""
    machines = [
        [Recording("own", simulated_frames(0))],
        [Recording(str(i), simulated_frames(i, seconds=30.0)) for i in range(1, 5)],
    ]

    def batches(seed: int) -> WindowBatches:
        return WindowBatches(
            machines,
            n_frames=SPEC.window_frames,
            windows_per_epoch=64,
            batch_size=32,
            seed=seed,
            device=torch.device("cpu"),
        )

    first, again, other = (list(batches(seed).epoch(2)) for seed in (7, 7, 8))
    assert len(first) == 2
    for batch, same in zip(first, again, strict=True):
        assert batch.windows_db.shape == (32, 1, SPEC.n_mels, SPEC.window_frames)
        assert torch.bincount(batch.machine).tolist() == [16, 16]
        assert torch.equal(batch.windows_db, same.windows_db)
    assert not torch.equal(first[0].windows_db, other[0].windows_db)
