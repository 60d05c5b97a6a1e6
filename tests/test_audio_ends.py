"""Whether sound that is missing at a beginning, in the middle or at an end is noticed."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.audio.files import read_blocks
from monitor.errors import BadInputError, TruncatedError

RATE_HZ = 16_000
ID3V1 = b"TAG" + bytes(125)


def seconds_read(path: Path) -> float:
    return sum(len(block.samples) / block.sample_rate_hz for block in read_blocks(path))


def encoded(path: Path, *options: str, seconds: float = 4.0) -> bytes:
    """Noise, as ffmpeg encodes it."""
    noise = np.random.default_rng(1).normal(0, 0.05, round(seconds * RATE_HZ))
    soundfile.write(path.with_suffix(".source.wav"), noise, RATE_HZ)
    source = str(path.with_suffix(".source.wav"))
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", source, *options, str(path)], check=True)
    return path.read_bytes()


@pytest.mark.parametrize("largest", [0, 1, 3])
@pytest.mark.parametrize("stated_s", [20, 29])
def test_a_flac_header_that_states_too_little_loses_no_quiet_sound(
    largest: int, stated_s: int, tmp_path: Path
) -> None:
    """Many seconds of quiet sound need less space than libsndfile reads ahead, and were lost."""
    sound = np.random.default_rng(2).integers(-largest, largest + 1, 30 * RATE_HZ).astype(np.int16)
    path = tmp_path / "quiet.flac"
    soundfile.write(path, sound, RATE_HZ)
    content = bytearray(path.read_bytes())
    content[22:26] = (stated_s * RATE_HZ).to_bytes(4, "big")
    path.write_bytes(content)
    assert seconds_read(path) == pytest.approx(30.0)
    path.write_bytes(content[: len(content) * 29 // 30 - 1])
    with pytest.raises(TruncatedError):
        seconds_read(path)


def test_tags_between_joined_flac_files_are_no_sound(tmp_path: Path) -> None:
    """A complete file would be refused as truncated."""
    path = tmp_path / "a.flac"
    content = encoded(path)
    path.write_bytes(content + ID3V1 + content + ID3V1 + ID3V1)
    assert seconds_read(path) == pytest.approx(8.0)


def test_a_part_of_a_joined_mp3_that_is_short_is_truncated(tmp_path: Path) -> None:
    """Half of a recording would be missing without a message."""
    path = tmp_path / "a.mp3"
    content = encoded(path, "-b:a", "64k", "-ar", "48000", "-id3v2_version", "0")
    frame_bytes = 144 * 64_000 // 48_000
    half = content[: len(content) // frame_bytes // 2 * frame_bytes]
    for parts in (content + half, half + content):
        path.write_bytes(parts)
        with pytest.raises(TruncatedError, match="MP3 frames"):
            seconds_read(path)
    path.write_bytes(content + content)
    assert seconds_read(path) == pytest.approx(8.0, abs=0.15)


def _ape(version: int) -> bytes:
    item = struct.pack("<II", 4, 0) + b"Gain\0" + b"-3.1"
    return item + b"APETAGEX" + struct.pack("<IIII", version, len(item) + 32, 1, 0) + bytes(8)


LYRICS3_V1 = b"LYRICSBEGIN" + b"[00:01]pump" + b"LYRICSEND"
LYRICS3_V2 = b"LYRICSBEGIN" + b"IND0000200" + b"LYR00004pump" + b"000033" + b"LYRICS200"


@pytest.mark.parametrize("tag", [_ape(1000), _ape(2000), LYRICS3_V1, LYRICS3_V2, _ape(2000) * 2])
def test_an_mp3_with_tags_without_a_header_is_whole(tag: bytes, tmp_path: Path) -> None:
    """A complete file would be refused as damaged."""
    path = tmp_path / "a.mp3"
    content = encoded(path, "-b:a", "64k")
    path.write_bytes(content + tag + ID3V1)
    assert seconds_read(path) == pytest.approx(4.0, abs=0.15)
    path.write_bytes(content + tag + ID3V1 + content + tag)
    assert seconds_read(path) == pytest.approx(8.0, abs=0.3)
    path.write_bytes(content + tag[:-1])
    with pytest.raises(BadInputError, match="damaged"):
        seconds_read(path)


def test_a_tag_that_would_end_after_the_file_is_not_believed(tmp_path: Path) -> None:
    """All sound after a damaged tag would be left out without a message."""
    path = tmp_path / "a.mp3"
    content = encoded(path, "-b:a", "64k", "-id3v2_version", "0")
    path.write_bytes(content + b"ID3\x03\0\0\x7f\x7f\x7f\x7f" + content)
    with pytest.raises(BadInputError, match="damaged"):
        seconds_read(path)


def _pages(content: bytes) -> list[bytes]:
    pages, offset = [], 0
    while offset < len(content):
        n_segments = content[offset + 26]
        n_bytes = 27 + n_segments + sum(content[offset + 27 : offset + 27 + n_segments])
        pages.append(content[offset : offset + n_bytes])
        offset += n_bytes
    return pages


@pytest.mark.parametrize("name", ["a.ogg", "a.opus"])
@pytest.mark.parametrize("which", [2, 3, -2])
def test_an_ogg_page_that_is_missing_or_damaged_is_noticed(
    name: str, which: int, tmp_path: Path
) -> None:
    """The first page with sound would be missing without a message."""
    path = tmp_path / name
    pages = _pages(encoded(path, "-page_duration", "500000"))
    assert seconds_read(path) == pytest.approx(4.0, abs=0.1)
    missing = list(pages)
    del missing[which]
    path.write_bytes(b"".join(missing))
    with pytest.raises(BadInputError, match="1 Ogg page missing"):
        seconds_read(path)
    page = bytearray(pages[which])
    page[-20] ^= 1
    path.write_bytes(b"".join([*pages[:which], bytes(page), *pages[which:][1:]]))
    with pytest.raises(BadInputError, match="has changed"):
        seconds_read(path)


def test_a_large_wav_that_was_cut_off_is_no_pipe(tmp_path: Path) -> None:
    """A short piece of a recording of 3 GB would be read as if it were whole."""
    path = tmp_path / "a.wav"
    content = bytearray(encoded(path, "-bitexact"))
    content[40:44] = struct.pack("<I", 3_000_000_000)
    path.write_bytes(content)
    with pytest.raises(TruncatedError):
        seconds_read(path)
    for pipe_bytes in (0x7FFF_F000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFDB, 0xFFFF_FFFF):
        content[40:44] = struct.pack("<I", pipe_bytes)
        path.write_bytes(content)
        assert seconds_read(path) == pytest.approx(4.0)
