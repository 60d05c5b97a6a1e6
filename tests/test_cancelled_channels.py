"""Channels that cancel each other in their mean are not reported as a muted microphone."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.audio.channel_choice import Channel
from monitor.audio.channels import one_channel
from monitor.audio.files import read_blocks
from monitor.audio.signal_check import SignalCheck
from monitor.domain import AudioBlock, FloatArray, SourceState, SourceStatus
from monitor.service.joining import BlockJoiner
from monitor.sources.pcm import PcmStream
from monitor.sources.settings import FileSettings
from tests.bundles import machine_sound
from tests.command_line import auscult
from tests.source_reader import SourceReader

RATE_HZ = 16_000
MACHINE = machine_sound(5.0)
QUIET_HISS = np.random.default_rng(0).normal(0.0, 1e-5, len(MACHINE)).astype(np.float32)


def channels(*samples: FloatArray) -> FloatArray:
    return np.stack(samples, axis=1)


def state_after(blocks: Iterable[AudioBlock | SourceState]) -> SourceState:
    check = SignalCheck()
    for block in blocks:
        assert isinstance(block, AudioBlock)
        check.push(block)
    return check.state


def from_file(path: Path, frames: FloatArray, channel: Channel) -> SourceState:
    recording = path / "sound.wav"
    soundfile.write(recording, frames, RATE_HZ, "FLOAT")
    return state_after(read_blocks(recording, channel))


def from_program(frames: FloatArray, channel: Channel) -> SourceState:
    stream = PcmStream(RATE_HZ, frames.shape[1], "f32le", channel)
    data = frames.astype("<f4").tobytes()
    return state_after(
        item for first in range(0, len(data), 4_096) for item in stream.push(data[first:][:4_096])
    )


@pytest.mark.parametrize(
    "frames",
    [
        channels(MACHINE, -MACHINE),
        channels(0.01 * MACHINE, -0.01 * MACHINE),
        channels(MACHINE, QUIET_HISS - MACHINE),
        channels(MACHINE, -0.98 * MACHINE),
        channels(3.0 * MACHINE, -2.97 * MACHINE),
        channels(MACHINE + np.float32(0.05), -0.99 * MACHINE),
        channels(MACHINE, -MACHINE, 0.5 * MACHINE, -0.5 * MACHINE),
    ],
    ids=[
        *("inverted", "quiet", "with hiss of its own", "of another gain", "loud"),
        *("with an offset", "four channels"),
    ],
)
def test_channels_that_cancel_each_other_are_named(frames: FloatArray, tmp_path: Path) -> None:
    """An operator looks for a muted microphone, but one channel is inverted."""
    for state in (from_file(tmp_path, frames, "mix"), from_program(frames, "mix")):
        assert (state.status, state.reason) == (SourceStatus.NO_SIGNAL, "silence")
        assert "cancel each other" in state.detail
        assert "channel = 0" in state.detail
        assert "ffmpeg" in state.detail
    for state in (from_file(tmp_path, frames, 0), from_program(frames, 0)):
        assert state.status is SourceStatus.OK


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((len(MACHINE), 2), np.float32),
        np.zeros((len(MACHINE), 1), np.float32),
        channels(QUIET_HISS, QUIET_HISS[::-1]),
    ],
    ids=["stereo", "mono", "hiss"],
)
def test_silent_channels_do_not_cancel_each_other(frames: FloatArray, tmp_path: Path) -> None:
    """A muted microphone is reported as a wrong cable."""
    for state in (from_file(tmp_path, frames, "mix"), from_program(frames, "mix")):
        assert state.reason == "silence"
        assert "muted" in state.detail


@pytest.mark.parametrize(
    "other",
    [MACHINE, 0.0 * MACHINE, -0.5 * MACHINE, MACHINE[::-1], -0.9 * MACHINE],
)
def test_other_channels_are_used(other: FloatArray, tmp_path: Path) -> None:
    """A working stereo microphone is reported."""
    frames = channels(MACHINE, other)
    assert from_file(tmp_path, frames, "mix").status is SourceStatus.OK
    assert from_program(frames, "mix").status is SourceStatus.OK


def test_opposite_offsets_are_not_inverted_channels(tmp_path: Path) -> None:
    """A quiet machine is not scored because the inputs have a small offset each."""
    quiet = np.float32(0.004) * MACHINE
    frames = channels(quiet + np.float32(0.04), quiet - np.float32(0.04))
    assert from_file(tmp_path, frames, "mix").status is SourceStatus.OK


def test_a_muted_input_after_inverted_channels_is_named(tmp_path: Path) -> None:
    """The cable is corrected, then unplugged, and the detail still says to correct it."""
    sound, silence = channels(MACHINE, -MACHINE), np.zeros((len(MACHINE), 2), np.float32)
    assert "muted" in from_file(tmp_path, np.concatenate([sound, silence]), "mix").detail
    assert "cancel" in from_file(tmp_path, np.concatenate([silence, sound]), "mix").detail


def inverted_for_a_while() -> FloatArray:
    frames = channels(MACHINE, MACHINE)
    frames[RATE_HZ // 3 : 2 * RATE_HZ] *= np.array([1.0, -0.99], np.float32)
    return frames


def states_of(blocks: Iterable[AudioBlock]) -> dict[int, SourceStatus]:
    """The state after each cell of a quarter second that ends where a block ends."""
    check = SignalCheck()
    states = {block.first_sample + len(block.samples): check.push(block) for block in blocks}
    return {end: state.status for end, state in states.items() if end % 4_000 == 0}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=12))
def test_the_state_does_not_depend_on_the_blocks(sizes: list[int]) -> None:
    """A replay refuses other sound than the daemon."""
    stream = PcmStream(RATE_HZ, 2, "f32le", "mix")
    frames = inverted_for_a_while()
    edges = sorted({0, *np.cumsum(sizes).tolist(), *range(0, len(frames), 20_000), len(frames)})
    edges = [edge for edge in edges if edge <= len(frames)]
    cut = [
        block
        for low, high in pairwise(edges)
        for block in stream.push(frames[low:high].astype("<f4").tobytes())
        if isinstance(block, AudioBlock)
    ]
    whole = PcmStream(RATE_HZ, 2, "f32le", "mix")
    cells = [
        block
        for low in range(0, len(frames), 4_000)
        for block in whole.push(frames[low : low + 4_000].astype("<f4").tobytes())
        if isinstance(block, AudioBlock)
    ]
    expected = states_of(cells)
    assert SourceStatus.NO_SIGNAL in expected.values()
    found = states_of(cut)
    assert found == {end: expected[end] for end in found}


def test_joined_blocks_keep_their_channels() -> None:
    """Inverted channels are not noticed when the daemon joins small blocks."""
    stream, joiner = PcmStream(RATE_HZ, 2, "f32le", "mix"), BlockJoiner()
    data = channels(MACHINE, -0.99 * MACHINE).astype("<f4").tobytes()
    for first in range(0, len(data), 4_096):
        for block in stream.push(data[first:][:4_096]):
            assert isinstance(block, AudioBlock)
            assert joiner.fits(block)
            joiner.push(block, len(block.samples) / RATE_HZ)
    joined = joiner.take()
    assert isinstance(joined, AudioBlock)
    assert "cancel each other" in state_after([joined]).detail


@pytest.mark.parametrize("realtime", [False, True])
def test_blocks_of_a_file_have_their_own_channels(realtime: bool, tmp_path: Path) -> None:
    """Samples are compared with channels of another moment."""
    soundfile.write(tmp_path / "a.wav", inverted_for_a_while()[: 2 * RATE_HZ], RATE_HZ, "FLOAT")
    with SourceReader(FileSettings(path=tmp_path / "a.wav", realtime=realtime)) as reader:
        reader.wait_for_end()
    for block in reader.blocks():
        assert block.unmixed is not None
        assert np.array_equal(block.samples, one_channel(block.unmixed, "mix"))


def test_mono_and_stereo_are_not_joined() -> None:
    """A block would have the channels of a part of its samples."""
    mono = AudioBlock(MACHINE, RATE_HZ, 0)
    stereo = AudioBlock(MACHINE, RATE_HZ, len(MACHINE), unmixed=channels(MACHINE, MACHINE))
    joiner = BlockJoiner()
    joiner.push(mono, 5.0)
    assert not joiner.fits(stereo)


@pytest.mark.parametrize("command", ["diagnose", "diagnose --healthy", "train"])
def test_commands_name_inverted_channels(command: str, tmp_path: Path) -> None:
    """A recording is compared or trained on as silence, and the report does not say why."""
    sound, inverted = tmp_path / "sound.wav", tmp_path / "inverted.wav"
    soundfile.write(sound, np.tile(MACHINE, 2), RATE_HZ)
    soundfile.write(inverted, np.tile(channels(MACHINE, -0.99 * MACHINE), (2, 1)), RATE_HZ)
    arguments = {
        "diagnose": ["diagnose", str(inverted)],
        "diagnose --healthy": ["diagnose", str(sound), "--healthy", str(inverted)],
        "train": ["train", "audio", str(inverted), "--out", str(tmp_path / "new.bundle")],
    }[command]
    outcome = auscult(*arguments)
    assert outcome.status == 65
    assert f"{inverted}: the channels cancel each other" in outcome.err
