"""Whether all the sound of a file is read, whatever its header states."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.field.recordings import corpus
from monitor.audio.files import read_blocks
from monitor.errors import BadInputError, MissingInputError

RATE_HZ = 16_000
SECONDS = 3
CODECS = {
    "a.wav": ["-c:a", "pcm_s16le"],
    "float.wav": ["-c:a", "pcm_f32le"],
    "alaw.wav": ["-c:a", "pcm_alaw"],
    "ima.wav": ["-c:a", "adpcm_ima_wav"],
    "ms.wav": ["-c:a", "adpcm_ms"],
    "bwf.wav": ["-c:a", "pcm_s24le", "-write_bext", "1", "-metadata", "description=pump"],
    "rf64.wav": ["-c:a", "pcm_s16le", "-rf64", "always"],
    "a.w64": ["-c:a", "pcm_s16le"],
    "a.aiff": ["-c:a", "pcm_s16be"],
    "a.flac": ["-c:a", "flac"],
    "a.ogg": ["-c:a", "libvorbis"],
    "a.opus": ["-c:a", "libopus"],
    "a.mp3": ["-c:a", "libmp3lame"],
    "no-xing.mp3": ["-c:a", "libmp3lame", "-write_xing", "0"],
    "no-xing-vbr.mp3": ["-c:a", "libmp3lame", "-write_xing", "0", "-q:a", "4"],
    "a.m4a": ["-c:a", "aac"],
    "a.aac": ["-c:a", "aac"],
    "a.wma": ["-c:a", "wmav2"],
    "a.caf": ["-c:a", "pcm_s16le"],
    "a.au": ["-c:a", "pcm_s16be"],
}
CODEC_DELAY_S = 0.13
"""The longest delay and padding that these encoders add."""
JOINED = ["a.wav", "ima.wav", "a.flac", "a.ogg", "a.opus", "a.mp3", "no-xing-vbr.mp3", "a.aac"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One recording of three seconds in every format."""
    folder = tmp_path_factory.mktemp("formats")
    noise = np.random.default_rng(1).normal(0, 0.05, SECONDS * RATE_HZ)
    soundfile.write(folder / "source.flac", noise, RATE_HZ)
    for name, options in CODECS.items():
        command = ["ffmpeg", "-v", "error", "-i", str(folder / "source.flac"), "-ac", "1"]
        subprocess.run([*command, *options, str(folder / name)], check=True)
    return folder


def seconds_read(path: Path) -> float:
    return sum(len(block.samples) / block.sample_rate_hz for block in read_blocks(path))


@pytest.mark.parametrize("name", CODECS)
def test_a_whole_file_is_read_to_its_end(name: str, folder: Path) -> None:
    """Sound of a common format would be lost without a message."""
    assert seconds_read(folder / name) == pytest.approx(SECONDS, abs=CODEC_DELAY_S)


@pytest.mark.parametrize("name", JOINED)
def test_recordings_joined_in_one_file_are_all_read(
    name: str, folder: Path, tmp_path: Path
) -> None:
    """Everything after the first recording of a chained file would be lost."""
    content = (folder / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(3 * content)
    assert seconds_read(path) == pytest.approx(3 * seconds_read(folder / name), abs=0.3)


def test_joined_wav_files_give_the_same_samples_as_each(folder: Path, tmp_path: Path) -> None:
    """The header of the second file would be heard as a click."""
    path = tmp_path / "joined.wav"
    path.write_bytes(2 * (folder / "a.wav").read_bytes())
    once = np.concatenate([block.samples for block in read_blocks(folder / "a.wav")])
    joined = np.concatenate([block.samples for block in read_blocks(path)])
    np.testing.assert_array_equal(joined, np.concatenate([once, once]))


def test_joined_mp4_files_are_refused(folder: Path, tmp_path: Path) -> None:
    """ffmpeg decodes the first of them only."""
    path = tmp_path / "a.m4a"
    path.write_bytes(2 * (folder / "a.m4a").read_bytes())
    with pytest.raises(BadInputError, match="2 recordings in one file"):
        seconds_read(path)


def test_joined_recordings_of_different_rates_are_refused(folder: Path, tmp_path: Path) -> None:
    """The second half would be scored at the wrong rate."""
    soundfile.write(tmp_path / "b.wav", np.zeros(8000) + 0.1, 8000, subtype="PCM_16")
    path = tmp_path / "joined.wav"
    path.write_bytes((folder / "a.wav").read_bytes() + (tmp_path / "b.wav").read_bytes())
    with pytest.raises(BadInputError, match="16000 and 8000 Hz"):
        seconds_read(path)


@pytest.mark.parametrize("name", ["a.mp3", "no-xing.mp3", "no-xing-vbr.mp3"])
def test_an_mp3_with_a_picture_is_whole(name: str, folder: Path, tmp_path: Path) -> None:
    """The size of a cover picture would be taken for missing sound."""
    picture = bytes(range(256)) * 800
    size = struct.pack(">4B", *((len(picture) >> shift) & 0x7F for shift in (21, 14, 7, 0)))
    path = tmp_path / "cover.mp3"
    path.write_bytes(b"ID3\x03\x00\x00" + size + picture + (folder / name).read_bytes())
    assert seconds_read(path) == pytest.approx(SECONDS, abs=CODEC_DELAY_S)


def test_a_flac_with_a_tag_at_its_end_is_read(folder: Path, tmp_path: Path) -> None:
    """The tag would be taken for a damaged frame."""
    path = tmp_path / "tagged.flac"
    path.write_bytes((folder / "a.flac").read_bytes() + b"TAG" + bytes(125))
    assert seconds_read(path) == SECONDS


def test_a_flac_with_a_tag_in_front_is_read(folder: Path, tmp_path: Path) -> None:
    """Some tag editors put an ID3 tag before a FLAC."""
    path = tmp_path / "tagged.flac"
    path.write_bytes(
        b"ID3\x03\x00\x00\x00\x00\x00\x10" + bytes(16) + (folder / "a.flac").read_bytes()
    )
    assert seconds_read(path) == SECONDS


def _stale_wav(content: bytearray, seconds: float) -> None:
    data = content.index(b"data")
    content[data + 4 : data + 8] = struct.pack("<I", round(seconds * RATE_HZ) * 2)


def _stale_flac(content: bytearray, seconds: float) -> None:
    total = round(seconds * RATE_HZ)
    content[21] = content[21] & 0xF0
    content[22:26] = struct.pack(">I", total)


def _stale_aiff(content: bytearray, seconds: float) -> None:
    data = content.index(b"SSND")
    content[data + 4 : data + 8] = struct.pack(">I", 8 + round(seconds * RATE_HZ) * 2)


STALE: dict[str, tuple[Callable[[bytearray, float], None], str | None]] = {
    "a.wav": (_stale_wav, "its header states 1.0 s of sound, but the file has 3.0 s"),
    "a.flac": (_stale_flac, None),
    "a.aiff": (_stale_aiff, "did not complete the header"),
}


@pytest.mark.parametrize("name", STALE)
def test_a_header_that_states_too_little_loses_no_sound(
    name: str, folder: Path, tmp_path: Path
) -> None:
    """A recorder that was killed leaves a header of an earlier moment."""
    change, reason = STALE[name]
    content = bytearray((folder / name).read_bytes())
    change(content, 1.0)
    path = tmp_path / name
    path.write_bytes(content)
    if reason is None:
        assert seconds_read(path) == SECONDS
    else:
        with pytest.raises(BadInputError, match=reason):
            seconds_read(path)


@pytest.mark.parametrize("name", ["a.wav", "float.wav", "bwf.wav", "ms.wav"])
@pytest.mark.parametrize("pad", [b"", b"\0"], ids=["without pad byte", "with pad byte"])
def test_a_wav_chunk_of_odd_length_is_passed_over(
    pad: bytes, name: str, folder: Path, tmp_path: Path
) -> None:
    """Programs differ in whether they pad such a chunk; the file is whole either way."""
    content = (folder / name).read_bytes()
    path = tmp_path / "odd.wav"
    path.write_bytes(content[:12] + b"note" + struct.pack("<I", 5) + b"12345" + pad + content[12:])
    assert seconds_read(path) == pytest.approx(SECONDS, abs=CODEC_DELAY_S)


def test_a_wav_of_a_pipe_is_read_to_its_end(folder: Path, tmp_path: Path) -> None:
    """ffmpeg and sox cannot state the length in a pipe."""
    command = ["ffmpeg", "-v", "error", "-i", str(folder / "source.flac"), "-f", "wav", "-"]
    path = tmp_path / "piped.wav"
    path.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    assert seconds_read(path) == SECONDS


def test_samples_with_the_most_significant_byte_first_are_read(tmp_path: Path) -> None:
    """RIFX is what old instruments write."""
    soundfile.write(tmp_path / "a.wav", np.full(RATE_HZ, 0.25), RATE_HZ, endian="BIG")
    content = (tmp_path / "a.wav").read_bytes()
    assert content.startswith(b"RIFX")
    assert seconds_read(tmp_path / "a.wav") == 1.0
    (tmp_path / "two.wav").write_bytes(2 * content)
    assert seconds_read(tmp_path / "two.wav") == 2.0
    (tmp_path / "cut.wav").write_bytes(content[:-100])
    with pytest.raises(BadInputError, match="truncated"):
        seconds_read(tmp_path / "cut.wav")


EXACT = [
    "a.wav",
    "float.wav",
    "alaw.wav",
    "rf64.wav",
    "a.w64",
    "a.aiff",
    "a.flac",
    "a.ogg",
    "a.mp3",
]


@given(name=st.sampled_from(EXACT), share=st.floats(0.05, 0.97))
def test_a_file_that_was_cut_off_is_refused(name: str, share: float, folder: Path) -> None:
    """Half a recording would be scored as a whole one."""
    content = (folder / name).read_bytes()
    path = folder / f"cut-{name}"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BadInputError):
        seconds_read(path)


@given(name=st.sampled_from([*EXACT, "no-xing-vbr.mp3"]), share=st.floats(0.05, 0.97))
def test_what_is_read_of_a_cut_file_is_all_that_is_there(
    name: str, share: float, folder: Path
) -> None:
    """A file without a stated length that was cut between frames cannot be refused."""
    content = (folder / name).read_bytes()
    path = folder / f"part-{name}"
    path.write_bytes(content[: int(len(content) * share)])
    try:
        read_s = seconds_read(path)
    except BadInputError:
        return
    assert read_s == pytest.approx(share * SECONDS, abs=0.3)


def test_without_ffmpeg_the_error_names_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user would look for a fault in the recording."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(MissingInputError, match="apt-get install ffmpeg"):
        seconds_read(folder / "a.m4a")


def test_a_truncated_mp4_is_refused(folder: Path, tmp_path: Path) -> None:
    """ffmpeg decodes what is there and ends without an error."""
    command = ["ffmpeg", "-v", "error", "-i", str(folder / "a.m4a"), "-c", "copy"]
    whole = tmp_path / "whole.m4a"
    subprocess.run([*command, "-movflags", "+faststart", str(whole)], check=True)
    content = whole.read_bytes()
    path = tmp_path / "cut.m4a"
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(BadInputError, match="truncated"):
        seconds_read(path)


@pytest.mark.parametrize("name", ["a.wav", "a.ogg", "a.mp3", "a.opus", "a.aiff", "a.w64"])
def test_zeros_at_the_end_of_a_file_are_no_sound(name: str, folder: Path, tmp_path: Path) -> None:
    """Programs and memory cards fill up blocks; the recording is whole."""
    path = tmp_path / name
    path.write_bytes((folder / name).read_bytes() + bytes(64))
    assert seconds_read(path) == pytest.approx(SECONDS, abs=CODEC_DELAY_S)


def test_no_recording_of_the_corpus_is_read_short_without_a_message(tmp_path: Path) -> None:
    """A fault in a file would take sound away, and nobody would know."""
    found = list(corpus(tmp_path, [16_000]))
    assert len(found) > 200
    assert not [one for one in found if one.is_silent_loss]
    whole = [one for one in found if one.fault == "none"]
    assert not [one for one in whole if one.message]
