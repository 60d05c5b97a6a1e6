"""A folder: its recordings, then every new one, but only when it is complete."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.domain import FloatArray, SourceStatus
from monitor.errors import MissingInputError
from monitor.sources.folder import FolderWatch
from monitor.sources.settings import FolderSettings
from tests.listening import Listener

RATE_HZ = 16_000


def recording(path: Path, seconds: float = 0.5, value: float = 0.1, rate_hz: int = RATE_HZ) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.full(round(seconds * rate_hz), value, np.float32)
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")
    return path


def settings(path: Path, settle_s: float = 0.2) -> FolderSettings:
    return FolderSettings(path=path, poll_interval_s=0.05, settle_s=settle_s)


def levels(samples: FloatArray) -> list[float]:
    """The values of constant recordings in the order of the source."""
    changes = np.flatnonzero(np.diff(samples)) + 1
    return [round(float(part[0]), 3) for part in np.split(samples, changes)]


def test_what_is_there_then_what_comes(tmp_path: Path) -> None:
    """New recordings would be left out, or old ones processed again."""
    recording(tmp_path / "b.wav", value=0.2)
    recording(tmp_path / "a" / "z.wav", value=0.1)
    with Listener(settings(tmp_path)) as listener:
        listener.wait_for_samples(2 * 8_000)
        recording(tmp_path / "0.wav", value=0.3)
        listener.wait_for_samples(3 * 8_000)
        time.sleep(0.5)
    assert levels(listener.samples()) == [0.2, 0.1, 0.3]
    blocks = listener.blocks()
    assert [block.first_sample for block in blocks] == [0, 8_000, 16_000]
    assert [block.discontinuous for block in blocks] == [False, True, True]


def test_a_file_that_is_still_being_written_waits(tmp_path: Path) -> None:
    """Only the beginning of a recording would be scored."""
    whole = recording(tmp_path / "outside" / "a.wav", seconds=2.0).read_bytes()
    folder = tmp_path / "in"
    folder.mkdir()
    with Listener(settings(folder, settle_s=0.4)) as listener:
        with (folder / "a.wav").open("wb") as file:
            for piece in np.array_split(np.frombuffer(whole, np.uint8), 12):
                file.write(piece.tobytes())
                file.flush()
                time.sleep(0.1)
                assert listener.items() == []
        listener.wait_for_samples(2 * RATE_HZ)
    assert listener.states() == []


def test_a_bad_file_is_told_and_skipped(tmp_path: Path) -> None:
    """One broken recording would stop the processing of all later ones."""
    (tmp_path / "a.wav").write_text("no sound")
    recording(tmp_path / "b.wav")
    (tmp_path / "c.wav").touch()
    with Listener(settings(tmp_path, settle_s=0)) as listener:
        listener.wait_for_samples(8_000)
        listener.wait(lambda: len(listener.states()) == 3, "the third state")
        time.sleep(0.2)
    assert [(state.status, state.reason) for state in listener.states()] == [
        (SourceStatus.UNAVAILABLE, "bad_input"),
        (SourceStatus.OK, ""),
        (SourceStatus.UNAVAILABLE, "bad_input"),
    ]
    assert "a.wav" in listener.states()[0].detail
    assert "c.wav" in listener.states()[2].detail


def test_a_file_that_was_written_anew_is_heard_again(tmp_path: Path) -> None:
    """Of a recorder that uses the same name again, only the first recording would be processed."""
    recording(tmp_path / "a.wav", value=0.1)
    with Listener(settings(tmp_path)) as listener:
        listener.wait_for_samples(8_000)
        recording(tmp_path / "a.wav", value=0.2, seconds=0.25)
        listener.wait_for_samples(12_000)
    assert levels(listener.samples()) == [0.1, 0.2]


def test_a_folder_that_vanishes_is_waited_for(tmp_path: Path) -> None:
    """A network share that fails for a minute would end the monitoring."""
    folder = tmp_path / "share"
    recording(folder / "a.wav", value=0.1)
    with Listener(settings(folder)) as listener:
        listener.wait_for_samples(8_000)
        shutil.rmtree(folder)
        lost = listener.wait_for_state()
        assert lost.reason == "disconnected"
        recording(folder / "b.wav", value=0.2)
        listener.wait_for_samples(16_000)
    assert [state.status for state in listener.states()] == [
        SourceStatus.UNAVAILABLE,
        SourceStatus.OK,
    ]


def test_positions_go_on_at_another_rate(tmp_path: Path) -> None:
    """Times would jump when two recorders with different rates use one folder."""
    recording(tmp_path / "a.wav", seconds=1.0, rate_hz=8_000)
    recording(tmp_path / "b.wav", seconds=1.0, rate_hz=48_000)
    with Listener(settings(tmp_path)) as listener:
        listener.wait_for_samples(56_000)
    blocks = listener.blocks()
    assert [(block.first_sample, block.sample_rate_hz) for block in blocks] == [
        (0, 8_000),
        (48_000, 48_000),
    ]


def test_old_files_need_not_settle_and_future_ones_do(tmp_path: Path) -> None:
    """Old recordings would be delayed, or a wrong clock would make a file complete."""
    old, future = recording(tmp_path / "old.wav"), recording(tmp_path / "future.wav")
    os.utime(old, (1e9, 1e9))
    os.utime(future, (4e9, 4e9))
    watch = FolderWatch(tmp_path, settle_s=0.3)
    assert watch.complete() == [old]
    watch.mark_processed(old)
    time.sleep(0.35)
    assert watch.complete() == [future]


def test_a_missing_folder_is_an_error_at_the_start(tmp_path: Path) -> None:
    """A typing error in the path would not be reported."""
    with (
        pytest.raises(MissingInputError, match="no such folder"),
        Listener(settings(tmp_path / "nothing")) as listener,
    ):
        listener.wait_for_end()
