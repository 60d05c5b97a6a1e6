"""Channels that cancel each other in their mean are not reported as a muted microphone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.audio.channel_choice import Channel
from monitor.audio.files import read_blocks
from monitor.audio.signal_check import SignalCheck
from monitor.domain import AudioBlock, FloatArray, SourceState, SourceStatus
from monitor.sources.pcm import PcmStream
from tests.bundles import machine_sound

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
        channels(MACHINE, -MACHINE, 0.5 * MACHINE, -0.5 * MACHINE),
    ],
    ids=["inverted", "quiet", "with hiss of its own", "four channels"],
)
def test_channels_that_cancel_each_other_are_named(frames: FloatArray, tmp_path: Path) -> None:
    """An operator looks for a muted microphone, but one channel is inverted."""
    for state in (from_file(tmp_path, frames, "mix"), from_program(frames, "mix")):
        assert (state.status, state.reason) == (SourceStatus.NO_SIGNAL, "silence")
        assert "cancel each other" in state.detail
        assert "channel = 0" in state.detail
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


@pytest.mark.parametrize("other", [MACHINE, 0.0 * MACHINE, -0.5 * MACHINE, MACHINE[::-1]])
def test_other_channels_are_used(other: FloatArray, tmp_path: Path) -> None:
    """A working stereo microphone is reported."""
    frames = channels(MACHINE, other)
    assert from_file(tmp_path, frames, "mix").status is SourceStatus.OK
    assert from_program(frames, "mix").status is SourceStatus.OK
