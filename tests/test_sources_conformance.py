"""The contract of every kind of source."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pytest
import soundfile

from monitor.domain import AudioBlock, FloatArray, LogMelBlock, SourceState, SourceStatus
from monitor.sources.protocol import Source
from monitor.sources.registry import open_source
from monitor.sources.settings import (
    CommandSettings,
    FileSettings,
    FolderSettings,
    LogMelSettings,
    MicrophoneSettings,
    SimulatedSettings,
    SourceSettings,
)
from tests.pulseaudio import PulseAudio
from tests.sounds import noise
from tests.source_reader import SourceReader

RATE_HZ = 16_000
KINDS = ["file", "folder", "command", "microphone", "simulated", "logmel"]
REPEATABLE = [kind for kind in KINDS if kind != "microphone"]
ENDLESS_WRITER = """
import sys, time
block = bytes(range(256)) * 10
while True:
    sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()
    time.sleep(0.01)
"""


class Case(NamedTuple):
    """A source with sound, and one without sound that does not end."""

    sounding: SourceSettings
    waiting: SourceSettings


def recording(path: Path, seconds: float = 1.0, seed: int = 0) -> Path:
    soundfile.write(path, noise(round(seconds * RATE_HZ), seed), RATE_HZ)
    return path


def command(script: str, **options: object) -> CommandSettings:
    return CommandSettings.model_validate({"command": [sys.executable, "-c", script], **options})


def _file(tmp_path: Path, _: ExitStack) -> Case:
    path = recording(tmp_path / "a.wav", 3.0)
    return Case(FileSettings(path=path), FileSettings(path=path, realtime=True, loop=True))


def _folder(tmp_path: Path, _: ExitStack) -> Case:
    full, empty = tmp_path / "full", tmp_path / "empty"
    full.mkdir()
    empty.mkdir()
    for seed in range(3):
        recording(full / f"{seed}.flac", 1.3, seed)
    return Case(
        FolderSettings(path=full, settle_s=0, poll_interval_s=0.1),
        FolderSettings(path=empty, poll_interval_s=30),
    )


def _command(tmp_path: Path, _: ExitStack) -> Case:
    raw = tmp_path / "sound.raw"
    raw.write_bytes(noise(40_000).astype("<f4").tobytes())
    return Case(
        CommandSettings(command=("cat", str(raw)), sample_format="f32le", restart=False),
        command("import time; time.sleep(60)"),
    )


def _microphone(tmp_path: Path, stack: ExitStack) -> Case:
    server = stack.enter_context(PulseAudio(tmp_path))
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    for name, value in server.environment.items():
        patch.setenv(name, value)
    server.play(noise(30 * RATE_HZ), RATE_HZ)
    return Case(
        MicrophoneSettings(sample_rate_hz=RATE_HZ, block_s=0.05),
        MicrophoneSettings(device="no such device"),
    )


def _simulated(_: Path, __: ExitStack) -> Case:
    return Case(
        SimulatedSettings(realtime=False, duration_s=3.03),
        SimulatedSettings(realtime=True),
    )


def _logmel(tmp_path: Path, _: ExitStack) -> Case:
    for seed in range(3):
        frames_db = np.random.default_rng(seed).normal(-40, 3, (700, 128)).astype(np.float32)
        np.save(tmp_path / f"{seed}.npy", frames_db, allow_pickle=False)
    return Case(
        LogMelSettings(path=tmp_path),
        LogMelSettings(path=tmp_path, realtime=True, frame_rate_hz=0.01),
    )


MAKERS: dict[str, Callable[[Path, ExitStack], Case]] = {
    "file": _file,
    "folder": _folder,
    "command": _command,
    "microphone": _microphone,
    "simulated": _simulated,
    "logmel": _logmel,
}


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    with ExitStack() as stack:
        yield MAKERS[request.param](tmp_path, stack)


every_kind = pytest.mark.parametrize("case", KINDS, indirect=True)
repeatable_kinds = pytest.mark.parametrize("case", REPEATABLE, indirect=True)


def received_blocks(source: Source) -> list[AudioBlock | LogMelBlock]:
    """The first second or more of a source."""
    stop = threading.Event()
    blocks: list[AudioBlock | LogMelBlock] = []
    with closing(source.blocks(stop)) as items:
        for item in items:
            assert not isinstance(item, SourceState), item
            blocks.append(item)
            if position(item) + len(content(item)) > RATE_HZ:
                break
    return blocks


def content(block: AudioBlock | LogMelBlock) -> FloatArray:
    return block.samples if isinstance(block, AudioBlock) else block.frames_db


def position(block: AudioBlock | LogMelBlock) -> int:
    return block.first_sample if isinstance(block, AudioBlock) else block.first_frame


@every_kind
def test_blocks_follow_one_another_from_zero(case: Case) -> None:
    """Positions would be wrong, and so would the times of alerts."""
    blocks = received_blocks(open_source(case.sounding))
    assert position(blocks[0]) == 0
    assert not blocks[0].discontinuous
    expected = 0
    for block in blocks:
        assert position(block) == expected or block.discontinuous
        assert position(block) >= expected
        expected = position(block) + len(content(block))


@every_kind
def test_each_call_begins_a_new_stream(case: Case) -> None:
    """After a failure, the machine would count the sound before it as lost once more."""
    source = open_source(case.sounding)
    for _ in range(2):
        first = received_blocks(source)[0]
        assert position(first) == 0
        assert not first.discontinuous


@every_kind
def test_blocks_are_what_the_pipeline_takes(case: Case) -> None:
    """The features would be computed from wrong values."""
    blocks = received_blocks(open_source(case.sounding))
    for block in blocks:
        values = content(block)
        assert len(values) > 0
        assert values.dtype == np.float32
        assert values.dtype.isnative
        assert values.flags.c_contiguous
        assert np.isfinite(values).all()
        if isinstance(block, AudioBlock):
            assert values.ndim == 1
            assert block.sample_rate_hz == RATE_HZ
            assert np.abs(values).max() <= 1.5
        else:
            assert values.shape[1] == 128


@every_kind
def test_a_block_stays_as_it_was(case: Case) -> None:
    """A buffer that is used again would change sound that is still being processed."""
    stop = threading.Event()
    kept: list[tuple[FloatArray, FloatArray]] = []
    with closing(open_source(case.sounding).blocks(stop)) as items:
        for item in items:
            assert not isinstance(item, SourceState)
            kept.append((content(item), content(item).copy()))
            if position(item) > RATE_HZ:
                break
    assert all(np.array_equal(now, then) for now, then in kept)


@every_kind
@pytest.mark.parametrize("which", ["sounding", "waiting"])
def test_it_ends_within_half_a_second(case: Case, which: str) -> None:
    """The daemon could not be stopped in time and would be killed."""
    with SourceReader(getattr(case, which)) as reader:
        if which == "sounding":
            reader.wait(reader.items, "sound")
        else:
            time.sleep(0.2)
    assert reader.ended_s < 0.5


@every_kind
def test_it_does_not_begin_when_it_is_to_stop(case: Case) -> None:
    """A machine that was removed at once would still be processed."""
    stop = threading.Event()
    stop.set()
    begun_s = time.monotonic()
    assert not [i for i in open_source(case.sounding).blocks(stop) if isinstance(i, AudioBlock)]
    assert time.monotonic() - begun_s < 0.5


@every_kind
def test_closing_it_leaves_nothing_behind(case: Case) -> None:
    """Every reload would add child processes, threads and open files."""
    process = psutil.Process()
    before = {child.pid for child in process.children(recursive=True)}
    n_threads, n_files = threading.active_count(), process.num_fds()
    for _ in range(2):
        received_blocks(open_source(case.sounding))
    assert {child.pid for child in process.children(recursive=True)} == before
    assert threading.active_count() == n_threads
    deadline_s = time.monotonic() + 5.0  # the system's notices are ended in a thread of their own
    while process.num_fds() > n_files and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert process.num_fds() <= n_files


@repeatable_kinds
def test_the_same_settings_give_the_same_sound(case: Case) -> None:
    """A result could not be reproduced."""
    first, again = (received_blocks(open_source(case.sounding)) for _ in range(2))
    assert np.array_equal(
        np.concatenate([content(block) for block in first])[:RATE_HZ],
        np.concatenate([content(block) for block in again])[:RATE_HZ],
    )


@pytest.mark.parametrize("case", ["file", "simulated"], indirect=True)
def test_real_time_is_kept_and_does_not_drift(case: Case) -> None:
    """A demonstration would be faster or slower than real time."""
    slow = case.waiting
    with SourceReader(slow) as reader:
        begun_s = time.monotonic()
        reader.wait_for_samples(RATE_HZ * 3 // 2)
        took_s = time.monotonic() - begun_s
    assert took_s == pytest.approx(1.5, abs=0.25)


def test_the_microphone_and_the_simulation_know_their_rate() -> None:
    """The rate would be unknown although the settings state it."""
    assert open_source(SimulatedSettings(sample_rate_hz=48_000)).sample_rate_hz == 48_000
    assert open_source(MicrophoneSettings(sample_rate_hz=48_000)).sample_rate_hz == 48_000
    assert open_source(MicrophoneSettings()).sample_rate_hz is None
    assert open_source(FileSettings(path=Path("x"))).sample_rate_hz is None


@pytest.mark.parametrize("kind", ["file", "folder", "logmel"])
def test_errors_are_states_and_never_raised(kind: str, tmp_path: Path) -> None:
    """One bad file would end the monitoring of a machine."""
    bad = tmp_path / ("a.npy" if kind == "logmel" else "a.wav")
    bad.write_text("this is no sound\n")
    settings: dict[str, SourceSettings] = {
        "file": FileSettings(path=bad),
        "folder": FolderSettings(path=tmp_path, settle_s=0, poll_interval_s=0.05),
        "logmel": LogMelSettings(path=tmp_path),
    }
    with SourceReader(settings[kind]) as reader:
        time.sleep(0.3)
    [state] = reader.states()
    assert state.status is SourceStatus.UNAVAILABLE
    assert state.reason == "bad_input"
    assert str(bad) in state.detail


def test_an_endless_program_does_not_fill_the_memory() -> None:
    """The output of a fast program would fill the memory."""
    script = ENDLESS_WRITER.replace("time.sleep(0.01)", "pass")
    with closing(open_source(command(script)).blocks(threading.Event())) as items:
        next(items)
        before = psutil.Process().memory_info().rss
        for _ in range(300):
            next(items)
        time.sleep(0.3)
        assert psutil.Process().memory_info().rss - before < 20_000_000
