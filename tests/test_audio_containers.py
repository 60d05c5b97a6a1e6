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
from monitor.errors import BadInputError, MissingInputError, TruncatedError

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
    "a.aifc": ["-c:a", "pcm_s16le"],
    "a.caf": ["-c:a", "pcm_s16le"],
    "float.caf": ["-c:a", "pcm_f32le"],
    "ima.caf": ["-c:a", "adpcm_ima_qt"],
    "alac.caf": ["-c:a", "alac"],
    "a.au": ["-c:a", "pcm_s16be"],
    "mulaw.au": ["-c:a", "pcm_mulaw"],
    "a.mka": ["-c:a", "pcm_s16le"],
    "flac.oga": ["-c:a", "flac"],
    "speex.ogg": ["-c:a", "libspeex"],
}
CODEC_DELAY_S = 0.13
"""The longest delay and padding that these encoders add."""
JOINED = [
    *("a.wav", "ima.wav", "a.flac", "a.ogg", "a.opus", "a.mp3", "no-xing-vbr.mp3", "a.aac"),
    *("a.w64", "a.aiff", "a.aifc", "a.au", "mulaw.au"),
]
JOINED_REFUSED = ["a.m4a", "a.wma", "a.mka", "a.caf", "ima.caf", "alac.caf", "flac.oga"]
"""Of these, ffmpeg or libsndfile decodes the first part only."""


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


@pytest.mark.parametrize("name", ["a.wav", "a.w64", "a.aiff", "a.au"])
def test_joined_files_give_the_same_samples_as_each(
    name: str, folder: Path, tmp_path: Path
) -> None:
    """The header of the second file would be scored as a click."""
    path = tmp_path / name
    path.write_bytes(2 * (folder / name).read_bytes())
    once = np.concatenate([block.samples for block in read_blocks(folder / name)])
    joined = np.concatenate([block.samples for block in read_blocks(path)])
    np.testing.assert_array_equal(joined, np.concatenate([once, once]))


@pytest.mark.parametrize("name", JOINED_REFUSED)
def test_joined_files_that_cannot_be_separated_are_refused(
    name: str, folder: Path, tmp_path: Path
) -> None:
    """Everything after the first recording would be lost without a message."""
    path = tmp_path / name
    path.write_bytes(2 * (folder / name).read_bytes())
    with pytest.raises(BadInputError, match="recordings in one file"):
        seconds_read(path)


def test_an_aac_file_with_tags_is_read(folder: Path, tmp_path: Path) -> None:
    """An AAC file would be refused if a recorder wrote an ID3 tag before each piece."""
    content = (folder / "a.aac").read_bytes()
    tag = b"ID3\x04\x00\x00\x00\x00\x00\x3f" + bytes(63)
    path = tmp_path / "tagged.aac"
    path.write_bytes(tag + content)
    once = seconds_read(folder / "a.aac")
    assert seconds_read(path) == once
    path.write_bytes(tag + tag + content + tag + content + b"TAG" + bytes(125))
    assert seconds_read(path) == pytest.approx(2 * once, abs=CODEC_DELAY_S)


def _amr(n_frames: int) -> bytes:
    """Frames of 12.2 kbit/s, of 20 ms."""
    body = np.random.default_rng(3).integers(0, 256, (n_frames, 31), dtype=np.uint8)
    return b"#!AMR\n" + b"".join(b"\x3c" + row.tobytes() for row in body)


def test_an_amr_file_is_read_to_its_end_or_refused(tmp_path: Path) -> None:
    """ffmpeg would leave out a cut frame, or decode the header of a joined file as sound."""
    path = tmp_path / "a.amr"
    path.write_bytes(_amr(100))
    assert seconds_read(path) == pytest.approx(2.0, abs=0.02)
    for content, reason in (
        (_amr(100)[:-7], "truncated"),
        (2 * _amr(100), "several recordings"),
        (_amr(100) + b"\xff" * 200, "no AMR frame at byte"),
    ):
        path.write_bytes(content)
        with pytest.raises(BadInputError, match=reason):
            seconds_read(path)


def test_a_bw64_file_is_read(folder: Path, tmp_path: Path) -> None:
    """RF64 under its newer name, BW64, would be refused."""
    path = tmp_path / "a.wav"
    path.write_bytes((folder / "rf64.wav").read_bytes().replace(b"RF64", b"BW64", 1))
    assert seconds_read(path) == SECONDS


@pytest.mark.parametrize(
    ("name", "content", "format_name"),
    [
        ("a.voc", b"Creative Voice File\x1a", "VOC"),
        ("a.avr", b"2BIT", "AVR"),
        ("a.sf", b"\x64\xa3\x02\x00", "IRCAM"),
        ("a.nist", b"NIST_1A\n   1024\n", "NIST"),
        ("a.paf", b" paf", "PAF"),
        ("a.iff", b"FORM\x00\x00\x10\x008SVXVHDR", "8SVX"),
        ("a.wve", b"ALawSoundFile**", "WVE"),
        ("a.mat", b"MATLAB 5.0 MAT-file", "MAT"),
        ("a.htk", b"\x00\x00\x3e\x80", "HTK"),
        ("a.wv", b"wvpk", "WavPack"),
        ("a.avi", b"RIFF\x00\x00\x10\x00AVI LIST", "AVI"),
        ("a.mp2", b"\xff\xfd\x84\x00", "MPEG layer I or II"),
    ],
)
def test_a_format_that_is_not_read_is_named(
    name: str, content: bytes, format_name: str, tmp_path: Path
) -> None:
    """A user would look for damage in a good file of a format that is not read."""
    path = tmp_path / name
    path.write_bytes(content + bytes(5000))
    with pytest.raises(BadInputError, match=f"{format_name} files are not read. Convert it"):
        seconds_read(path)


def test_a_wav_file_with_another_codec_is_named(folder: Path, tmp_path: Path) -> None:
    """A complete WAV file that contains MP3 would be reported as truncated."""
    path = tmp_path / "mp3.wav"
    command = ["ffmpeg", "-v", "error", "-i", str(folder / "source.flac"), "-c:a", "libmp3lame"]
    subprocess.run([*command, str(path)], check=True)
    with pytest.raises(BadInputError, match="codec 0x0055, which is not read"):
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
    """The size of a cover picture would be treated as missing sound."""
    picture = bytes(range(256)) * 800
    size = struct.pack(">4B", *((len(picture) >> shift) & 0x7F for shift in (21, 14, 7, 0)))
    path = tmp_path / "cover.mp3"
    path.write_bytes(b"ID3\x03\x00\x00" + size + picture + (folder / name).read_bytes())
    assert seconds_read(path) == pytest.approx(SECONDS, abs=CODEC_DELAY_S)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp3", "libmp3lame"), ("a.opus", "libopus"), ("a.aac", "aac"), ("a.m4a", "aac")],
)
def test_the_bit_rate_is_that_of_the_sound(name: str, codec: str, tmp_path: Path) -> None:
    """A picture or a joined file hides that a codec had too few bits, and it raises an alert."""

    def kbit_s(path: Path) -> float:
        block = next(read_blocks(path))
        assert block.chain is not None
        assert block.chain.kbit_s is not None
        return block.chain.kbit_s

    noise = np.random.default_rng(1).normal(0, 0.05, 6 * RATE_HZ)
    soundfile.write(tmp_path / "source.flac", noise, RATE_HZ)
    picture = tmp_path / "cover.png"
    command = ["ffmpeg", "-v", "error"]
    random_picture = ["-f", "lavfi", "-i", "nullsrc=s=500x500,geq=random(1)*255:128:128"]
    subprocess.run([*command, *random_picture, "-frames:v", "1", str(picture)], check=True)
    path = tmp_path / name
    coded = ["-i", str(tmp_path / "source.flac"), "-ac", "1", "-c:a", codec, "-b:a", "24k"]
    subprocess.run([*command, *coded, str(path)], check=True)
    plain = kbit_s(path)
    assert 15 < plain < 40
    if name != "a.m4a":
        joined = tmp_path / f"joined-{name}"
        joined.write_bytes(3 * path.read_bytes())
        assert kbit_s(joined) == pytest.approx(plain, rel=0.1)
    covered = tmp_path / f"covered-{name}"
    if name in {"a.mp3", "a.m4a"}:
        cover = ["-i", str(picture), "-map", "0", "-map", "1", "-c:v", "copy"]
        cover += ["-disposition:v:0", "attached_pic"]
        subprocess.run([*command, *coded[:2], *cover, *coded[2:], str(covered)], check=True)
    elif name == "a.opus":
        comment = ["-metadata", "METADATA_BLOCK_PICTURE=" + "A" * 120_000]
        subprocess.run([*command, *coded, *comment, str(covered)], check=True)
    else:
        covered.write_bytes(
            b"ID3\x04\x00\x00\x00\x0f\x00\x00" + bytes(15 << 14) + path.read_bytes()
        )
    assert covered.stat().st_size > 3 * path.stat().st_size
    assert kbit_s(covered) == pytest.approx(plain, rel=0.1)


def test_a_flac_with_a_tag_at_its_end_is_read(folder: Path, tmp_path: Path) -> None:
    """The tag would be treated as a damaged frame."""
    path = tmp_path / "tagged.flac"
    path.write_bytes((folder / "a.flac").read_bytes() + b"TAG" + bytes(125))
    assert seconds_read(path) == SECONDS


def test_a_flac_with_a_tag_in_front_is_read(folder: Path, tmp_path: Path) -> None:
    """A complete FLAC file with an ID3 tag before it would be refused."""
    path = tmp_path / "tagged.flac"
    path.write_bytes(
        b"ID3\x03\x00\x00\x00\x00\x00\x10" + bytes(16) + (folder / "a.flac").read_bytes()
    )
    assert seconds_read(path) == SECONDS


def test_a_caf_file_of_a_pipe_is_read_to_its_end(folder: Path, tmp_path: Path) -> None:
    """A header that states no length would be reported as damaged."""
    content = bytearray((folder / "a.caf").read_bytes())
    data = content.index(b"data")
    content[data + 4 : data + 12] = b"\xff" * 8
    path = tmp_path / "piped.caf"
    path.write_bytes(content)
    assert seconds_read(path) == SECONDS


def test_an_aiff_file_with_fewer_samples_than_it_states_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    """Missing samples would not be noticed if a program changed the length of the chunk."""
    content = bytearray((folder / "a.aiff").read_bytes())
    common = content.index(b"COMM")
    content[common + 10 : common + 14] = struct.pack(">I", 5 * RATE_HZ)
    path = tmp_path / "short.aiff"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match="truncated: 96000 of 160000 bytes"):
        seconds_read(path)


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (2, b"\0\0", "it states 0 channels and 16000 Hz"),
        (4, bytes(4), "it states 1 channel and 0 Hz"),
        (4, b"\xff\xff\xff\xff", "it states 1 channel and 4294967295 Hz"),
        (4, b"\x01\0\0\0", "1 Hz is not a usable sample rate"),
        (2, b"\x41\0", "has 65 channels, at most 64 can be read"),
    ],
)
def test_odd_numbers_in_a_wav_header_are_named(
    offset: int, value: bytes, reason: str, folder: Path, tmp_path: Path
) -> None:
    """A damaged header would be reported as an unknown format."""
    content = bytearray((folder / "a.wav").read_bytes())
    start = content.index(b"fmt ") + 8 + offset
    content[start : start + len(value)] = value
    path = tmp_path / "odd.wav"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=reason):
        seconds_read(path)


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body


FORMAT = struct.pack("<HHIIHH", 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
SAMPLES = bytes(range(200)) * 10


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        (chunk(b"fmt ", FORMAT) + chunk(b"DATA", SAMPLES), "data chunk; it contains fmt, DATA"),
        (chunk(b"fmt ", FORMAT), "without a data chunk; it contains fmt"),
        (chunk(b"fmt ", FORMAT) + bytes(10) + chunk(b"data", SAMPLES), "no chunk begins at byte"),
        (chunk(b"fmt ", FORMAT) + b"\xff\0\0\0\0\0\0\0", "no chunk begins at byte 36"),
        (chunk(b"fmt ", FORMAT) + b"JUNK\xff\xff\xff\0" + SAMPLES, "its chunk JUNK is incomplete"),
        (chunk(b"fmt ", FORMAT[:14]) + chunk(b"data", SAMPLES), "its fmt chunk has 14 bytes"),
        (
            chunk(b"data", SAMPLES) + chunk(b"fmt ", FORMAT),
            "without a fmt chunk before its samples",
        ),
    ],
)
def test_a_wav_file_without_usable_chunks_is_described(
    chunks: bytes, reason: str, tmp_path: Path
) -> None:
    """A file is called cut off although it is complete, and the user copies it again."""
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    with pytest.raises(BadInputError, match=reason):
        seconds_read(path)


def _stale_wav(content: bytearray, seconds: float) -> None:
    data = content.index(b"data")
    content[data + 4 : data + 8] = struct.pack("<I", round(seconds * RATE_HZ) * 2)


def _stale_flac(content: bytearray, seconds: float) -> None:
    total = round(seconds * RATE_HZ)
    content[21] = content[21] & 0xF0
    content[22:26] = struct.pack(">I", total)


def _stale_au(content: bytearray, seconds: float) -> None:
    content[8:12] = struct.pack(">I", round(seconds * RATE_HZ) * 2)


def _stale_caf(content: bytearray, seconds: float) -> None:
    data = content.index(b"data")
    content[data + 4 : data + 12] = struct.pack(">q", 4 + round(seconds * RATE_HZ) * 2)


def _stale_aiff(content: bytearray, seconds: float) -> None:
    data = content.index(b"SSND")
    content[data + 4 : data + 8] = struct.pack(">I", 8 + round(seconds * RATE_HZ) * 2)


STALE: dict[str, tuple[Callable[[bytearray, float], None], str | None]] = {
    "a.wav": (_stale_wav, "its header states 1.0 s of sound, but the file has 3.0 s"),
    "a.flac": (_stale_flac, None),
    "a.aiff": (_stale_aiff, "did not complete the header"),
    "a.au": (_stale_au, "its header states 1.0 s of sound, but the file has 3.0 s"),
    "a.caf": (_stale_caf, "did not complete the header"),
}


@pytest.mark.parametrize("name", STALE)
def test_a_header_that_states_too_little_loses_no_sound(
    name: str, folder: Path, tmp_path: Path
) -> None:
    """The sound after the stated length would be lost when the recorder was killed."""
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
    """A complete file with or without the pad byte would be refused."""
    content = (folder / name).read_bytes()
    path = tmp_path / "odd.wav"
    path.write_bytes(content[:12] + b"note" + struct.pack("<I", 5) + b"12345" + pad + content[12:])
    assert seconds_read(path) == pytest.approx(SECONDS, abs=CODEC_DELAY_S)


def test_a_wav_of_a_pipe_is_read_to_its_end(folder: Path, tmp_path: Path) -> None:
    """A WAV file of ffmpeg or sox in a pipe would be refused, because it states no length."""
    command = ["ffmpeg", "-v", "error", "-i", str(folder / "source.flac"), "-f", "wav", "-"]
    path = tmp_path / "piped.wav"
    path.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    assert seconds_read(path) == SECONDS


def test_samples_with_the_most_significant_byte_first_are_read(tmp_path: Path) -> None:
    """RIFX files of old instruments would be refused."""
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
    "a.caf",
    "float.caf",
    "a.au",
    "mulaw.au",
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
    """Sound before the cut would be lost; such a file cannot be recognised as cut off."""
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


@pytest.mark.parametrize(
    "name", ["a.aac", "a.wma", "a.mka", "ima.caf", "alac.caf", "flac.oga", "speex.ogg"]
)
@pytest.mark.parametrize("share", [0.3, 0.9, 0.98])
def test_a_cut_file_that_ffmpeg_decodes_is_truncated(
    name: str, share: float, folder: Path, tmp_path: Path
) -> None:
    """A folder would report a file as damaged while it is still being copied."""
    content = (folder / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: int(share * len(content)) - 3])
    with pytest.raises(TruncatedError):
        seconds_read(path)


def test_a_truncated_mp4_is_refused(folder: Path, tmp_path: Path) -> None:
    """Half an MP4 file would be scored, because ffmpeg ends without an error."""
    command = ["ffmpeg", "-v", "error", "-i", str(folder / "a.m4a"), "-c", "copy"]
    whole = tmp_path / "whole.m4a"
    subprocess.run([*command, "-movflags", "+faststart", str(whole)], check=True)
    content = whole.read_bytes()
    path = tmp_path / "cut.m4a"
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(BadInputError, match="truncated"):
        seconds_read(path)


@pytest.mark.parametrize(
    "name",
    [
        *("a.wav", "a.ogg", "a.mp3", "a.opus", "a.aiff", "a.w64", "a.au", "a.caf"),
        *("a.aac", "a.wma", "a.mka"),
    ],
)
def test_zeros_at_the_end_of_a_file_are_no_sound(name: str, folder: Path, tmp_path: Path) -> None:
    """A complete recording would be refused because zeros fill its last block on a memory card."""
    path = tmp_path / name
    path.write_bytes((folder / name).read_bytes() + bytes(64))
    assert seconds_read(path) == pytest.approx(SECONDS, abs=CODEC_DELAY_S)


@pytest.mark.slow
def test_no_recording_of_the_corpus_is_read_short_without_a_message(tmp_path: Path) -> None:
    """Sound would be left out because of a fault in a file, without a message."""
    found = list(corpus(tmp_path, [16_000]))
    assert len(found) > 200
    assert not [one for one in found if one.is_silent_loss]
    whole = [one for one in found if one.fault == "none"]
    assert not [one for one in whole if one.message]
