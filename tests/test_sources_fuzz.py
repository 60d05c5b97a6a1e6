"""Recordings damaged at random: sound or one clear error, never a crash or a hang."""

from __future__ import annotations

import contextlib
import io
from functools import cache

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from monitor.audio.files import read_blocks
from monitor.errors import BadInputError

FORMATS = {"wav": "PCM_16", "wav24": "PCM_24", "wavf": "FLOAT", "flac": "PCM_16", "ogg": "VORBIS",
           "mp3": "MPEG_LAYER_III"}  # fmt: skip


@cache
def whole(name: str) -> bytes:
    samples = np.random.default_rng(0).normal(0, 0.1, (3_000, 2))
    file = io.BytesIO()
    container = name.upper().removesuffix("24").removesuffix("F") if "wav" in name else name
    soundfile.write(file, samples, 16_000, subtype=FORMATS[name], format=container)
    return file.getvalue()


damages = st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=6)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damages=damages, share=st.floats(0, 1), in_header=st.booleans())
@example(damages=[], share=0.5, in_header=True)
def test_damaged_recordings_give_sound_or_an_error(
    name: str,
    damages: list[tuple[float, bytes]],
    share: float,
    in_header: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A damaged file in the folder could end the monitoring."""
    content = bytearray(whole(name))
    reach = min(128, len(content)) if in_header else len(content)
    for place, patch in damages:
        at = round(place * (reach - 1))
        content[at : at + len(patch)] = patch
    path = tmp_path_factory.getbasetemp() / f"fuzzed-{name}"
    path.write_bytes(content[: round((0.5 + share) * len(content))])
    n_samples = 0
    with contextlib.suppress(BadInputError):
        for block in read_blocks(path, block_s=0.1):
            assert np.isfinite(block.samples).all()
            assert block.first_sample == n_samples
            n_samples += len(block.samples)
            if n_samples > 1_000_000:
                break


@given(content=st.binary(max_size=2_000))
@example(content=b"RIFF\xff\xff\xff\xffWAVE" + b"fmt \x00\x00\x00\x00" * 200)
@example(content=b"RF64\xff\xff\xff\xffWAVEds64\x1c\x00\x00\x00" + b"\xff" * 40)
@example(content=b"RIFF\x00\x00\x00\x00WAVEdata\x00\x00\x00\x00")
def test_any_bytes_are_refused_in_one_line(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Random bytes would be scored as a recording."""
    path = tmp_path_factory.getbasetemp() / "anything.wav"
    path.write_bytes(content)
    with pytest.raises(BadInputError) as raised:
        list(read_blocks(path))
    assert "\n" not in str(raised.value)
