"""Recordings in real time: what is due comes at once, and every sample once."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.domain import AudioBlock, FloatArray, LogMelBlock
from monitor.sources.file import FileSource
from monitor.sources.log_mel import LogMelSource
from monitor.sources.pacing import Pacer
from monitor.sources.protocol import SourceItem
from monitor.sources.settings import FileSettings, LogMelSettings
from monitor.sources.waiting import Steps, Wait

RATE_HZ = 8_000
LATE_S = 0.45


def rows_of(item: SourceItem) -> FloatArray:
    assert isinstance(item, AudioBlock | LogMelBlock)
    return item.samples if isinstance(item, AudioBlock) else item.frames_db


def opened(kind: str, folder: Path) -> tuple[Steps[SourceItem], FloatArray, float]:
    """The steps of a source in real time, all that it has, and its rows in a second."""
    rng = np.random.default_rng(0)
    if kind == "logmel":
        frames = rng.normal(-40.0, 3.0, (75, 16)).astype(np.float32)
        np.save(folder / "a.npy", frames)
        settings = LogMelSettings(path=folder / "a.npy", realtime=True, frame_rate_hz=50)
        return LogMelSource(settings).steps(), frames, 50.0
    samples = (rng.integers(-(2**14), 2**14, int(1.5 * RATE_HZ)) / 2**15).astype(np.float32)
    soundfile.write(folder / "a.wav", samples, RATE_HZ, subtype="PCM_16")
    return FileSource(FileSettings(path=folder / "a.wav", realtime=True)).steps(), samples, RATE_HZ


@pytest.mark.parametrize("kind", ["file", "logmel"])
def test_what_is_due_comes_as_one_block_and_nothing_before_its_time(
    kind: str, tmp_path: Path
) -> None:
    """Each tenth of a second would cost as much as half a second, and a late one most of all."""
    steps, expected, rate_hz = opened(kind, tmp_path)
    parts: list[FloatArray] = []
    begun_s = time.monotonic()
    for item in steps:
        passed_s = time.monotonic() - begun_s
        n_rows = sum(len(part) for part in parts)
        if isinstance(item, Wait):
            assert n_rows / rate_hz >= passed_s - 0.2
            time.sleep(LATE_S)
            continue
        parts.append(rows_of(item))
        assert (n_rows + len(parts[-1])) / rate_hz <= passed_s
    assert np.array_equal(np.concatenate(parts), expected)
    assert len(parts) <= 6


def test_without_real_time_all_rows_are_one_part() -> None:
    """A replay would be cut into the blocks of a live stream."""
    assert list(Pacer(realtime=False).parts(100, 5_000, 8_000.0, 10)) == [slice(0, 5_000)]
