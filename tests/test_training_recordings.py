"""Recordings on their way to the network: the same frames as the runtime's, split whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from monitor.domain import AudioBlock
from monitor.errors import BadInputError
from monitor.features.log_mel import LogMelStream
from monitor.features.log_mel_spec import LogMelSpec
from tests.bundles import machine_sound
from tests.tiny_sound import SPEC, frames_of
from training.sound.recordings import CropBatches, Recording, cut_into, folds, read_recording


def test_training_hears_the_windows_that_the_runtime_hears(tmp_path: Path) -> None:
    """If the two differed by a frame or a rounding, thresholds would belong to other scores."""
    spec = LogMelSpec()
    samples = machine_sound(4.0)
    sf.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    expected = [w.values_db for w in LogMelStream(spec).push(AudioBlock(samples, 16_000, 0))]
    actual = read_recording(tmp_path / "a.wav", spec).windows(spec)
    np.testing.assert_array_equal(actual, np.stack(expected))


@pytest.mark.parametrize(
    ("samples", "complaint"),
    [(np.zeros(32_000, np.float32), "silence"), (machine_sound(0.5), "too short")],
)
def test_a_recording_that_teaches_nothing_is_refused(
    tmp_path: Path, samples: np.ndarray, complaint: str
) -> None:
    """A muted or cut-off recording would pass for a regime of the machine."""
    sf.write(tmp_path / "a.wav", samples, 16_000)
    with pytest.raises(BadInputError, match=complaint):
        read_recording(tmp_path / "a.wav", LogMelSpec())


def test_every_recording_is_in_one_fold() -> None:
    """A recording in no fold would never be scored by statistics that did not see it."""
    fold = folds(23, 5, seed=1)
    assert np.ptp(np.bincount(fold, minlength=5)) <= 1
    assert len(fold) == 23
    np.testing.assert_array_equal(fold, folds(23, 5, seed=1))


def test_long_recordings_are_cut_only_where_they_are_few() -> None:
    """Without stretches nothing could be left out; with needless ones neighbours would leak."""
    recording = Recording("a", frames_of(0, seconds=60.0))
    stretches = cut_into([recording, recording], 8, least_frames=100)
    assert len(stretches) == 8
    whole = np.concatenate([stretch.frames_db for stretch in stretches[:4]])
    np.testing.assert_array_equal(whole, recording.frames_db)
    assert cut_into([recording] * 8, 8, least_frames=100) == [recording] * 8
    assert len(cut_into([recording], 8, least_frames=10_000)) == 1


def test_crops_are_shared_equally_and_repeat_by_seed() -> None:
    """A reference with much sound must not crowd out the machine; a run must be repeatable."""
    machines = [
        [Recording("own", frames_of(0))],
        [Recording(str(i), frames_of(i, seconds=30.0)) for i in range(1, 5)],
    ]

    def batches(seed: int) -> CropBatches:
        return CropBatches(
            machines,
            n_frames=SPEC.window_frames,
            windows_per_epoch=64,
            batch_size=32,
            seed=seed,
            device=torch.device("cpu"),
        )

    first, again, other = (list(batches(seed).epoch(2)) for seed in (7, 7, 8))
    assert len(first) == 2
    for crop, same in zip(first, again, strict=True):
        assert crop.windows_db.shape == (32, 1, SPEC.n_mels, SPEC.window_frames)
        assert torch.bincount(crop.machine).tolist() == [16, 16]
        assert torch.equal(crop.windows_db, same.windows_db)
    assert not torch.equal(first[0].windows_db, other[0].windows_db)
