"""A program that does not deliver at its stated rate is noticed by the clock, others are not."""

from __future__ import annotations

import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import AudioBlock, SourceState, SourceStatus
from monitor.sources.command import CommandSource
from monitor.sources.delivery_rate import DeliveryRate, wrong_rate
from monitor.sources.settings import CommandSettings

RATE_HZ = 16_000


def settings(**options: object) -> CommandSettings:
    return CommandSettings.model_validate({"command": ["program"], **options})


def delivered(
    ratio: float, seconds: float, *, piece_s: float = 0.1, first_s: float = 0.0, jitter_s: float = 0
) -> DeliveryRate:
    """A program that delivers pieces of ``piece_s``, after ``first_s`` that it had collected."""
    rate = DeliveryRate(RATE_HZ)
    rate.push(int(first_s * RATE_HZ), 100.0)
    n_pieces = int(seconds / piece_s)
    for piece in range(1, n_pieces + 1):
        late_s = jitter_s * (piece % 3) / 2
        rate.push(round(ratio * piece_s * RATE_HZ), 100.0 + piece * piece_s + late_s)
    return rate


@pytest.mark.parametrize("ratio", [3.0, 2.0, 0.5, 1 / 3, 2.75625, 0.689, 6.0, 5.0, 4 / 3, 2 / 3])
@given(piece_s=st.floats(0.02, 0.25), first_s=st.floats(0.0, 10.0), jitter_s=st.floats(0.0, 0.03))
def test_a_wrong_rate_is_found_within_six_seconds(
    ratio: float, piece_s: float, first_s: float, jitter_s: float
) -> None:
    """Sound at another speed is scored as if it were the machine's."""
    rate = delivered(ratio, 6.0, piece_s=piece_s, first_s=first_s, jitter_s=jitter_s)
    assert rate.ratio == pytest.approx(ratio, rel=0.04)


@given(
    ratio=st.floats(0.97, 1.03),
    piece_s=st.floats(0.02, 0.5),
    first_s=st.floats(0.0, 60.0),
    jitter_s=st.floats(0.0, 0.05),
)
def test_the_stated_rate_is_never_reported_as_wrong(
    ratio: float, piece_s: float, first_s: float, jitter_s: float
) -> None:
    """A working source becomes unavailable."""
    rate = delivered(ratio, 70.0, piece_s=piece_s, first_s=first_s, jitter_s=jitter_s)
    assert rate.ratio is None


@pytest.mark.parametrize("ratio", [9.0, 12.0, 40.0, 300.0])
def test_a_program_far_from_real_time_is_not_reported(ratio: float) -> None:
    """A recording that a program decodes as fast as it can becomes a fault of the source."""
    rate = delivered(ratio, 70.0)
    assert rate.ratio is None
    assert not delivered(ratio, 2.0).in_doubt


def test_segments_of_a_stream_are_not_reported() -> None:
    """A live stream that comes in segments of six seconds becomes a fault of the source."""
    rate = DeliveryRate(RATE_HZ)
    for segment in range(10):
        for piece in range(60):
            rate.push(RATE_HZ // 10, 100.0 + 6.0 * segment + 0.001 * piece)
    assert rate.ratio is None


@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_a_full_pipe_does_not_look_like_a_wrong_rate(ratio: float) -> None:
    """A machine would be unavailable until a restart, because the computer was busy."""
    rate = DeliveryRate(RATE_HZ)
    for piece in range(1, 8):  # of each six seconds, the pipe holds four
        rate.interrupt()
        rate.push(round(4.0 * ratio * RATE_HZ), 100.0 + 6.0 * piece)
    assert rate.ratio is None
    for piece in range(1, 61):
        rate.push(round(0.1 * ratio * RATE_HZ), 142.0 + 0.1 * piece)
    assert rate.ratio == (None if ratio == 1.0 else pytest.approx(ratio, rel=0.04))


def test_the_advice_names_rate_and_channels() -> None:
    """A user does not know which key of the configuration is wrong."""
    assert wrong_rate(settings(), 2.01) == (
        "delivers about 32000 samples a second, 16000 are stated: set sample_rate_hz = 32000, or "
        'channels = 2 if the sound is stereo, or sample_format = "s32le" or "f32le" for samples '
        "of 4 bytes"
    )
    assert "sample_rate_hz = 48000, or channels = 3" in wrong_rate(settings(), 2.99)
    assert "sample_rate_hz = 44100" in wrong_rate(settings(), 2.756)
    assert "sample_rate_hz = 8000, or channels = 1 if" in wrong_rate(settings(channels=2), 0.5)


def test_samples_of_three_bytes_are_noticed_at_any_rate() -> None:
    """1.5 times 44.1 kHz is no usual rate, and the sound would be scored as noise."""
    rate = DeliveryRate(44_100)
    for piece in range(61):
        rate.push(6_615, 100.0 + 0.1 * piece)
    assert rate.ratio == pytest.approx(1.5, rel=0.04)
    assert "2 bytes instead of 3" in wrong_rate(settings(sample_rate_hz=44_100), 1.5)


@pytest.mark.parametrize(
    ("stated", "ratio", "says"),
    [
        ("f32le", 0.5, 'sample_format = "s16le" for samples of 2 bytes'),
        ("s32le", 0.75, "samples of 4 bytes instead of 3"),
        ("s16le", 0.5, "samples of 2 bytes instead of 1"),
        ("f32le", 2.0, ""),
    ],
)
def test_samples_of_fewer_bytes_than_stated_are_named(stated: str, ratio: float, says: str) -> None:
    """The only advice is another rate, with which noise is monitored."""
    text = wrong_rate(settings(sample_format=stated), ratio)
    assert says in text
    assert ("bytes" in text) is bool(says)


PROGRAM = """
import sys, time
begin, sent = time.monotonic(), 0
while True:
    due = int((time.monotonic() - begin) * {rate})
    sys.stdout.buffer.write(bytes([1, 0, 255, 255]) * ((due - sent) // 2))
    sys.stdout.buffer.flush()
    sent += (due - sent) // 2 * 2
    time.sleep(0.05)
"""


def test_a_program_at_twice_the_rate_becomes_unavailable_before_an_alert() -> None:
    """Stereo that is read as mono raises an alert of the machine."""
    command = [sys.executable, "-c", PROGRAM.format(rate=2 * RATE_HZ)]
    stop, begin_s, sound_s = threading.Event(), time.monotonic(), 0.0
    states: list[SourceState] = []
    for item in CommandSource(settings(command=command)).blocks(stop):
        if isinstance(item, AudioBlock):
            sound_s = item.end_s
        elif isinstance(item, SourceState):
            states.append(item)
            break
    stop.set()
    assert [(state.status, state.reason) for state in states] == [
        (SourceStatus.UNAVAILABLE, "wrong_rate")
    ]
    assert "sample_rate_hz = 32000" in states[0].detail
    assert time.monotonic() - begin_s < 10.0
    assert sound_s < 4.0
