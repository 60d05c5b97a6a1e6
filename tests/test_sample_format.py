"""A program whose samples have another format than stated is noticed, all others are not."""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.domain import FloatArray, SourceStatus
from monitor.sources.sample_format import SampleFormatCheck
from monitor.sources.settings import CommandSettings, SampleFormat
from tests.bundles import machine_sound
from tests.sounds import noise
from tests.source_reader import SourceReader

RATE_HZ = 16_000
WRITE = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"


def as_16_bit(samples: FloatArray) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.clip(np.round(samples * 2**15), -(2**15), 2**15 - 1).astype("<i2")


def swapped(samples: FloatArray) -> bytes:
    return as_16_bit(samples).byteswap().tobytes()


def shifted(samples: FloatArray) -> bytes:
    return as_16_bit(samples).tobytes()[1:]


def unsigned(samples: FloatArray) -> bytes:
    return (as_16_bit(samples) ^ np.int16(-(2**15))).tobytes()


def compressed(samples: FloatArray) -> bytes:
    return zlib.compress(samples.astype("<f4").tobytes())


def mp3(samples: FloatArray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.tile(samples, 12), RATE_HZ, format="MP3")
    return file.getvalue()


def floating(samples: FloatArray) -> bytes:
    return samples.astype("<f4").tobytes()


def of_three_bytes(samples: FloatArray) -> bytes:
    values = np.round(samples.astype(np.float64) * 2**23).astype("<i4")
    return values.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


def of_three_bytes_with_16_bits(samples: FloatArray) -> bytes:
    values = as_16_bit(samples).view(np.uint8).reshape(-1, 2)
    return np.pad(values, ((0, 0), (1, 0))).tobytes()


@pytest.mark.parametrize(
    ("written", "stated", "word"),
    [
        (swapped, "s16le", "wrong order"),
        (shifted, "s16le", "a byte was lost"),
        (unsigned, "s16le", "unsigned"),
        (compressed, "s16le", "compressed"),
        (mp3, "s16le", "compressed"),
        (of_three_bytes, "s16le", "3 bytes"),
        (of_three_bytes, "s32le", "3 bytes"),
        (of_three_bytes_with_16_bits, "s16le", "3 bytes"),
        (of_three_bytes_with_16_bits, "s32le", "3 bytes"),
        (floating, "s32le", 'sample_format = "f32le"'),
    ],
)
@pytest.mark.parametrize("level", [0.03, 0.3, 1.0])
def test_another_format_is_named_before_an_alert(
    written: Callable[[FloatArray], bytes],
    stated: str,
    word: str,
    level: float,
    tmp_path: Path,
) -> None:
    """Bytes in the wrong order are loud noise, and raise an alert of the machine."""
    path = tmp_path / "sound"
    path.write_bytes(written(np.float32(level) * machine_sound(10)))
    settings = CommandSettings.model_validate(
        {
            "command": [sys.executable, "-c", WRITE, str(path)],
            "sample_format": stated,
            "realtime": False,
            "restart": False,
        }
    )
    with SourceReader(settings) as reader:
        reader.wait_for_end()
    states = reader.states()
    assert [(one.status, one.reason) for one in states] == [
        (SourceStatus.UNAVAILABLE, "wrong_format")
    ]
    assert word in states[0].detail
    assert reader.n_samples() <= 2.5 * RATE_HZ


def test_sound_after_a_wrong_format_is_used_again() -> None:
    """A source would be lost until the next restart."""
    sound = machine_sound(10)
    check = SampleFormatCheck("s16le", RATE_HZ, 1)
    check.push(swapped(sound))
    assert check.problem
    check.push(as_16_bit(sound).tobytes())
    assert not check.problem


@given(
    level=st.floats(0.05, 5.0),
    bits=st.integers(8, 16),
    period=st.sampled_from([2, 3, 4, 5, 6, 8]),
    phase=st.floats(0.0, 0.8),
)
@example(level=0.8304413913138577, bits=16, period=4, phase=0.2)
@example(level=2.267578125, bits=12, period=4, phase=0.4)
@example(level=1.550584463287389, bits=16, period=2, phase=0.7)
def test_a_tone_that_divides_the_sample_rate_has_the_stated_format(
    level: float, bits: int, period: int, phase: float
) -> None:
    """Its few values can be quiet by chance when their bytes are exchanged."""
    cycle = np.sin(2 * np.pi / period * np.arange(period) + phase)
    cycle = np.floor(np.clip(level * cycle, -1.0, 1.0) * 2 ** (bits - 1)) / 2 ** (bits - 1)
    tone = np.tile(cycle, 3 * RATE_HZ // period + 1)
    check = SampleFormatCheck("s16le", RATE_HZ, 1)
    check.push(as_16_bit(tone.astype(np.float32)).tobytes())
    assert check.problem == ""


@given(
    level=st.floats(1e-5, 30.0),
    bits=st.sampled_from([8, 10, 12, 16]),
    kind=st.sampled_from(["machine", "noise", "sine", "high sine", "square", "silence"]),
    sample_format=st.sampled_from(["s16le", "s32le"]),
    channels=st.sampled_from([1, 2, 3]),
)
def test_sound_of_any_level_and_depth_has_the_stated_format(
    level: float, bits: int, kind: str, sample_format: SampleFormat, channels: int
) -> None:
    """A working source becomes unavailable, also one that clips or has few bits."""
    sine = np.sin(2 * np.pi * 120.0 * np.arange(4 * RATE_HZ) / RATE_HZ).astype(np.float32)
    sounds = {
        "machine": machine_sound(4),
        "noise": noise(4 * RATE_HZ),
        "sine": sine,
        "high sine": np.sin(np.pi / 2.0 * np.arange(4 * RATE_HZ) + 0.4).astype(np.float32),
        "square": np.sign(sine),
        "silence": np.zeros_like(sine),
    }
    samples = np.clip(sounds[kind] * np.float32(level), -1.0, 1.0)
    samples = np.floor(samples * 2 ** (bits - 1)) / np.float32(2 ** (bits - 1))
    frames = samples[:, None] * np.array([1.0, 0.1, 0.0], np.float32)[:channels]
    data = (
        as_16_bit(frames).tobytes()
        if sample_format == "s16le"
        else (as_16_bit(frames).astype("<i4") * 2**16).tobytes()
    )
    check = SampleFormatCheck(sample_format, RATE_HZ, channels)
    check.push(data)
    assert check.problem == ""
