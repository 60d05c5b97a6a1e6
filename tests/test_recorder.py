"""The recorder: any length is recorded completely, in several files."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Iterator
from datetime import datetime, tzinfo
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.audio import flac_recorder
from monitor.audio.flac_recorder import FlacRecorder
from monitor.domain import AudioBlock
from monitor.errors import ServiceUnavailableError


class QuickRecorder(FlacRecorder):
    """Files so short that a second has a dozen."""

    LEAST_S: ClassVar[float] = 0.01


@settings(max_examples=40)
@given(
    seconds=st.floats(0.1, 1.0),
    rate_hz=st.sampled_from([8_000, 11_025, 16_000, 44_100, 48_000]),
    block=st.integers(100, 20_000),
)
@example(seconds=1 / 3, rate_hz=44_100, block=4_410)
@example(seconds=0.7, rate_hz=11_025, block=1_000)
def test_any_length_is_completed_to_the_sample(seconds: float, rate_hz: int, block: int) -> None:
    """Because of a rounding error, `auscult record` would not end."""
    with tempfile.TemporaryDirectory() as folder:
        position = 0
        with QuickRecorder(Path(folder), "pump-7", seconds) as recorder:
            while not recorder.complete:
                samples = np.full(block, 0.1, np.float32)
                recorder.push(AudioBlock(samples, rate_hz, position))
                position += block
                assert position < (seconds * rate_hz) + 2 * block
        lengths = [soundfile.info(path).frames for path in recorder.files]
        assert abs(sum(lengths) - seconds * rate_hz) < 1
        assert list(Path(folder).glob("*.part")) == []


def recorded_lengths_s(folder: Path, seconds: float, gap_s: float | None = None) -> list[float]:
    """The lengths of the files of a recording, with a gap after ``gap_s``."""
    with FlacRecorder(folder, "pump-7", seconds) as recorder:
        position_s = 0.0
        while not recorder.complete:
            block = np.full(500, 0.1, np.float32)
            recorder.push(AudioBlock(block, 1_000, 0, discontinuous=position_s == gap_s))
            position_s += 0.5
    return [soundfile.info(path).duration for path in recorder.files]


@pytest.mark.parametrize(
    ("seconds", "lengths_s"),
    [
        (2.0, [2.0]),
        (12.0, [12.0]),
        (20.0, [10.0, 10.0]),
        (25.0, [12.5, 12.5]),
        (1200.0, 12 * [100.0]),
        (3900.0, 13 * [300.0]),
    ],
)
def test_files_have_one_length(tmp_path: Path, seconds: float, lengths_s: list[float]) -> None:
    """A short file at the end would be useless for training."""
    assert recorded_lengths_s(tmp_path, seconds) == lengths_s


def test_a_rest_after_a_gap_is_added_to_the_last_file(tmp_path: Path) -> None:
    """A gap would leave a short file at the end."""
    assert recorded_lengths_s(tmp_path, 30.0, gap_s=3.0) == [3.0, 10.0, 17.0]


class StoppedClock:
    """The time of a board that starts without one."""

    @staticmethod
    def now(zone: tzinfo) -> datetime:
        return datetime(2026, 1, 1, tzinfo=zone)


def test_recordings_of_the_same_second_are_all_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two recorders that start together, or a clock that was set back, overwrite recordings."""
    monkeypatch.setattr(flac_recorder, "datetime", StoppedClock)
    levels = [0.1, 0.2, 0.3]
    recorders = [FlacRecorder(tmp_path, "pump-7", 20.0) for _ in levels[:2]]
    for second in range(20):  # at the same time
        for recorder, level in zip(recorders, levels, strict=False):
            recorder.push(AudioBlock(np.full(1000, level, np.float32), 1000, 1000 * second))
    with FlacRecorder(tmp_path, "pump-7", 20.0) as later:
        later.push(AudioBlock(np.full(20_000, levels[2], np.float32), 1000, 0))
    found = [soundfile.read(path)[0] for recorder in [*recorders, later] for path in recorder.files]
    assert [len(samples) for samples in found] == 6 * [10_000]
    assert [round(float(samples[0]), 1) for samples in found] == [0.1, 0.1, 0.2, 0.2, 0.3, 0.3]
    assert len(list(tmp_path.iterdir())) == 6


def test_an_unfinished_file_of_a_killed_recorder_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can still be saved of it is overwritten."""
    monkeypatch.setattr(flac_recorder, "datetime", StoppedClock)
    part = tmp_path / "pump-7-20260101T000000Z-001.flac.part"
    part.write_bytes(b"fLaC")
    with FlacRecorder(tmp_path, "pump-7", 10.0) as recorder:
        recorder.push(AudioBlock(np.full(10_000, 0.1, np.float32), 1000, 0))
    assert part.read_bytes() == b"fLaC"
    assert [path.name for path in recorder.files] == ["pump-7-20260101T000000Z-002.flac"]


@pytest.fixture
def small_files() -> Iterator[None]:
    """A limit of 100 kB for each file, to simulate a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_leaves_no_incomplete_recording(tmp_path: Path) -> None:
    """An incomplete recording would be kept, or the command would end with a traceback."""
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)

    def record() -> None:
        with FlacRecorder(tmp_path, "pump-7", 100.0) as recorder:
            for second in range(100):
                recorder.push(AudioBlock(noise, 16_000, second * 16_000))

    with pytest.raises(ServiceUnavailableError, match="cannot be written, is the disk full"):
        record()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_may_have_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    """The command ends with a traceback, and nothing is recorded."""
    folder = tmp_path / os.fsdecode(b"latin-\xe9")
    with FlacRecorder(folder, "pump-7", 1.0) as recorder:
        recorder.push(AudioBlock(np.zeros(16_000, np.float32), 16_000, 0))
    assert [path.suffix for path in folder.iterdir()] == [".flac"]
