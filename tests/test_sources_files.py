"""Recordings: every format, and one line that names the file for every kind of damage."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.audio.channel_choice import Channel
from monitor.audio.files import read_blocks
from monitor.audio.recordings import recording_blocks, recording_files
from monitor.domain import FloatArray, LogMelBlock
from monitor.errors import AuscultError, BadInputError, MissingInputError
from monitor.features.log_mel_spec import LogMelSpec
from monitor.sources.settings import FileSettings, FolderSettings, LogMelSettings
from tests.conftest import shared_data
from tests.source_reader import SourceReader

RATE_HZ = 16_000


def noise(n_samples: int, channels: int = 1, seed: int = 0) -> FloatArray:
    values = np.random.default_rng(seed).normal(0, 0.1, (n_samples, channels))
    return np.clip(values, -0.9, 0.9).astype(np.float32)


def sound_of(path: Path, channel: Channel = "mix", block_s: float = 4.0) -> FloatArray:
    return np.concatenate([b.samples for b in read_blocks(path, channel, block_s=block_s)])


FORMATS = {
    "16 bit": ("a.wav", "PCM_16", 2**-15),
    "8 bit": ("a.wav", "PCM_U8", 2**-7),
    "24 bit": ("a.wav", "PCM_24", 2**-22),
    "32 bit": ("a.wav", "PCM_32", 2**-23),
    "float": ("a.wav", "FLOAT", 0.0),
    "double": ("a.wav", "DOUBLE", 2**-23),
    "flac": ("a.flac", "PCM_24", 2**-22),
    "name in capitals": ("A.WAV", "PCM_16", 2**-15),
}


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 96_000])
@pytest.mark.parametrize("name", FORMATS)
def test_every_bit_depth_and_rate_is_read_at_full_scale(
    name: str, rate_hz: int, tmp_path: Path
) -> None:
    """The format of a recorder would change the level and the scores."""
    file_name, subtype, tolerance = FORMATS[name]
    written = noise(rate_hz)
    soundfile.write(tmp_path / file_name, written, rate_hz, subtype=subtype)
    blocks = list(read_blocks(tmp_path / file_name, block_s=0.3))
    assert {block.sample_rate_hz for block in blocks} == {rate_hz}
    read = np.concatenate([block.samples for block in blocks])
    assert read.shape == (rate_hz,)
    assert np.abs(read - written[:, 0]).max() <= tolerance


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.caf", "a.au"])
def test_16_bits_are_read_as_the_decoder_converts_them(name: str, tmp_path: Path) -> None:
    """The samples of one format differ from those of another by a factor."""
    soundfile.write(tmp_path / name, noise(5_000, channels=2) * 1.1, RATE_HZ, subtype="PCM_16")
    expected, _ = soundfile.read(tmp_path / name, dtype="float32")
    for channel in (0, 1):
        assert np.array_equal(sound_of(tmp_path / name, channel, 0.1), expected[:, channel])


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_lossy_recordings_are_not_shifted(name: str, tmp_path: Path) -> None:
    """The sound would be shifted against its reported times."""
    seconds = np.arange(2 * 44_100) / 44_100
    tone = (0.3 * np.sin(2 * np.pi * 440 * seconds) * (seconds > 1.0)).astype(np.float32)
    soundfile.write(tmp_path / name, tone, 44_100)
    read = sound_of(tmp_path / name, block_s=0.1)
    onset = np.argmax(np.abs(read) > 0.1)
    assert onset == pytest.approx(44_100, abs=0.02 * 44_100)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_channels_are_mixed_or_chosen(channels: int, tmp_path: Path) -> None:
    """The wrong microphone would be used."""
    written = noise(RATE_HZ, channels)
    soundfile.write(tmp_path / "a.wav", written, RATE_HZ, subtype="FLOAT")
    assert np.allclose(sound_of(tmp_path / "a.wav"), written.mean(axis=1), atol=1e-6)
    for channel in range(channels):
        assert np.array_equal(sound_of(tmp_path / "a.wav", channel), written[:, channel])
    with pytest.raises(BadInputError, match=f"no channel {channels}, only channel"):
        sound_of(tmp_path / "a.wav", channels)


def test_the_block_size_changes_nothing(tmp_path: Path) -> None:
    """Replay and a live file would be scored differently."""
    soundfile.write(tmp_path / "a.flac", noise(50_001, 3), RATE_HZ)
    whole = sound_of(tmp_path / "a.flac", block_s=100.0)
    for block_s in (1e-9, 0.0137, 1.0):
        samples = 2_000 if block_s < 1e-6 else len(whole)
        blocks = read_blocks(tmp_path / "a.flac", block_s=block_s)
        pieces = [next(blocks).samples for _ in range(samples)] if samples == 2_000 else [
            block.samples for block in blocks
        ]  # fmt: skip
        assert np.array_equal(np.concatenate(pieces), whole[:samples])


def _cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: round(len(content) * share)])


def _shortened(path: Path, n_bytes: int) -> None:
    soundfile.write(path, noise(5 * RATE_HZ), RATE_HZ)
    path.write_bytes(path.read_bytes()[:-n_bytes])


def _truncated(path: Path) -> None:
    soundfile.write(path, noise(RATE_HZ), RATE_HZ)
    _cut(path, 0.6)


def _truncated_mp3(path: Path) -> None:
    soundfile.write(path, noise(10 * RATE_HZ), RATE_HZ)
    _cut(path, 0.5)


def _without_last_page(path: Path) -> None:
    soundfile.write(path, noise(5 * RATE_HZ), RATE_HZ)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"OggS")])


def _header_only(path: Path) -> None:
    soundfile.write(path, noise(RATE_HZ), RATE_HZ)
    path.write_bytes(path.read_bytes()[:30])


def _no_samples(path: Path) -> None:
    soundfile.write(path, noise(0), RATE_HZ)


def _unfinished(path: Path) -> None:
    soundfile.write(path, noise(RATE_HZ), RATE_HZ)
    content = bytearray(path.read_bytes())
    data = content.index(b"data")
    content[data + 4 : data + 8] = bytes(4)
    path.write_bytes(content)


def _with_nan(path: Path) -> None:
    samples = noise(RATE_HZ)
    samples[12_345] = np.nan
    soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")


def _integers_as_floats(path: Path) -> None:
    soundfile.write(path, noise(RATE_HZ) * 32_768, RATE_HZ, subtype="FLOAT")


def _rate_of_nothing(path: Path) -> None:
    soundfile.write(path, noise(RATE_HZ), 5)


def _fifo_like(path: Path) -> None:
    path.mkdir()


DAMAGES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "truncated wav": ("a.wav", _truncated, "truncated"),
    "truncated flac": ("a.flac", _truncated, "truncated or damaged"),
    "truncated ogg": ("a.ogg", _truncated, "truncated"),
    "ogg cut between pages": ("a.ogg", _without_last_page, "its last page is missing"),
    "ogg cut by a byte": ("a.ogg", lambda path: _shortened(path, 1), "its last page is missing"),
    "truncated mp3": ("a.mp3", _truncated_mp3, "truncated"),
    "cut inside the header": ("a.wav", _header_only, "cut off inside its header"),
    "zero length": ("a.wav", Path.touch, "empty"),
    "no samples": ("a.wav", _no_samples, "no samples"),
    "header never completed": ("a.wav", _unfinished, "still being written"),
    "text called wav": ("a.wav", lambda path: path.write_text("Dear diary\n"), "not an audio file"),
    "text called flac": ("a.flac", lambda path: path.write_text("Dear diary\n"), "wav, flac, ogg"),
    "text called mp3": ("a.mp3", lambda path: path.write_text("Dear diary\n" * 99), "no MP3 frame"),
    "zeros called mp3": ("a.mp3", lambda path: path.write_bytes(bytes(9_999)), "no MP3 frame"),
    "another kind of sound": ("a.wav", lambda path: soundfile.write(
        path, noise(RATE_HZ), RATE_HZ, format="VOC"), "VOC files are not read"),
    "NaN": ("a.wav", _with_nan, "sample 12345 is not valid"),
    "integers as floats": ("a.wav", _integers_as_floats, "between -1 and 1"),
    "5 Hz": ("a.wav", _rate_of_nothing, "5 Hz is not a usable sample rate"),
    "folder": ("a.wav", _fifo_like, "not a file"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_reported_in_one_line_that_names_the_file(name: str, tmp_path: Path) -> None:
    """A bad file would give a traceback or a score."""
    file_name, damage, said = DAMAGES[name]
    path = tmp_path / file_name
    damage(path)
    with pytest.raises(BadInputError, match=said) as raised:
        sound_of(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_status == 65


def test_truncation_of_a_wav_is_detected_before_its_first_block(tmp_path: Path) -> None:
    """Half a recording would be scored before the error is reported."""
    _truncated(tmp_path / "a.wav")
    with pytest.raises(BadInputError):
        next(read_blocks(tmp_path / "a.wav"))


@pytest.mark.parametrize("path", ["nothing.wav", "no/such/folder/a.wav", "nul\0.wav"])
def test_a_recording_that_is_not_there_is_missing(path: str, tmp_path: Path) -> None:
    """A typing error would be reported as a bad recording."""
    with pytest.raises(MissingInputError, match="cannot be opened") as raised:
        sound_of(tmp_path / path)
    assert raised.value.exit_status == 66


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg on this machine")
@pytest.mark.parametrize("container", ["wav", "flac", "ogg"])
def test_a_recording_written_to_a_pipe_is_complete(container: str, tmp_path: Path) -> None:
    """Recordings of a stream, whose header does not state the length, would be refused."""
    soundfile.write(tmp_path / "a.wav", noise(RATE_HZ), RATE_HZ)
    command = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "a.wav"), "-f", container, "-"]
    piped = subprocess.run(command, capture_output=True, check=True, stdin=subprocess.DEVNULL)
    path = tmp_path / f"piped.{container}"
    path.write_bytes(piped.stdout)
    assert len(sound_of(path)) == RATE_HZ


def test_a_ten_hour_recording_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    """The recording of a night could not be replayed on a small computer."""
    n_samples = 10 * 3_600 * 8_000
    path = tmp_path / "night.wav"
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + n_samples, b"WAVE", b"fmt ", 16,
                         1, 1, 8_000, 8_000, 1, 8, b"data", n_samples)  # fmt: skip
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + n_samples)
    tracemalloc.start()
    total = sum(len(block.samples) for block in read_blocks(path, block_s=30.0))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == n_samples
    assert peak_bytes < 8_000_000


def test_folders_are_searched_in_order_and_paths_kept_as_they_were_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of a result could not be matched with the recordings."""
    for name in ["b/2.wav", "b/10.FLAC", "a/deep/er.ogg", "a/x.npy", "c.mp3", "a/notes.txt",
                 ".hidden/d.wav", "b/._2.wav"]:  # fmt: skip
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    expected = ["in/c.mp3", "in/a/x.npy", "in/a/deep/er.ogg", "in/b/10.FLAC", "in/b/2.wav"]
    assert [str(path) for path in recording_files([Path("in")])] == expected
    again = recording_files([Path("in/b/2.wav"), Path("in"), Path("in/b")])
    assert [str(path) for path in again] == ["in/b/2.wav", *expected[:-1]]
    assert recording_files([tmp_path / "in" / "a" / "notes.txt"]) == [tmp_path / "in/a/notes.txt"]
    with pytest.raises(MissingInputError, match="no such file or folder"):
        recording_files([Path("out")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInputError, match="contains no recordings"):
        recording_files([Path("empty")])


def test_log_mel_recordings_are_recognised_by_their_name(tmp_path: Path) -> None:
    """Machines that send features could not be replayed."""
    np.save(tmp_path / "a.npy", np.full((50, 128), -40, np.float32), allow_pickle=False)
    [block] = recording_blocks(tmp_path / "a.npy", LogMelSpec())
    assert isinstance(block, LogMelBlock)
    with pytest.raises(BadInputError, match="128 mel bands, 64 are expected"):
        list(recording_blocks(tmp_path / "a.npy", LogMelSpec(n_mels=64)))


@pytest.mark.parametrize("change", ["grows", "is written again"])
def test_a_file_that_changes_while_it_is_read_is_refused(change: str, tmp_path: Path) -> None:
    """A mixture of two recordings is scored, or what was added is left out without a message."""
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(5 * RATE_HZ), RATE_HZ)
    os.utime(path, (1e9, 1e9))
    content = path.read_bytes()
    blocks = read_blocks(path, block_s=1.0)
    next(blocks)
    with path.open("ab" if change == "grows" else "r+b") as file:
        file.write(content)
    with pytest.raises(BadInputError, match=r"a\.wav: was changed while it was read"):
        list(blocks)


def test_a_file_that_is_replaced_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    """A recorder that replaces its file ends the reading of the last one."""
    path, other = tmp_path / "a.wav", tmp_path / "b.wav"
    for name, seed in ((path, 0), (other, 1)):
        soundfile.write(name, noise(5 * RATE_HZ, seed=seed), RATE_HZ, "FLOAT")
    blocks = read_blocks(path, block_s=1.0)
    read = [next(blocks).samples]
    other.rename(path)
    read += [block.samples for block in blocks]
    assert np.array_equal(np.concatenate(read), noise(5 * RATE_HZ)[:, 0])


def test_a_loop_continues_with_discontinuities(tmp_path: Path) -> None:
    """Windows would contain the end and the beginning, and give a false alarm in every loop."""
    soundfile.write(tmp_path / "a.wav", noise(RATE_HZ), RATE_HZ)
    with SourceReader(FileSettings(path=tmp_path / "a.wav", loop=True)) as reader:
        reader.wait_for_samples(3 * RATE_HZ)
    blocks = reader.blocks()[:3]
    assert [block.first_sample for block in blocks] == [0, RATE_HZ, 2 * RATE_HZ]
    assert [block.discontinuous for block in blocks] == [False, True, True]


def test_a_missing_file_is_an_error_at_the_start(tmp_path: Path) -> None:
    """`auscult run` would start with a machine that has no sound."""
    with pytest.raises(AuscultError, match="no such file"), SourceReader(
        FileSettings(path=tmp_path / "a.wav")
    ) as reader:  # fmt: skip
        reader.wait_for_end()


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        (FileSettings, "folder", 'folder: is a folder; kind = "folder" reads it'),
        (FileSettings, "pipe", "pipe: is not a regular file"),
        (FolderSettings, "pipe", "pipe: is not a folder; "),
        (LogMelSettings, "folder", "folder: contains no recordings; expected .npy"),
        *(
            (kind, "link", "link: cannot be opened: File name too long")
            for kind in (FileSettings, FolderSettings, LogMelSettings)
        ),
    ],
)
def test_a_path_of_another_kind_is_named(
    kind: type[FileSettings | FolderSettings | LogMelSettings],
    name: str,
    says: str,
    tmp_path: Path,
) -> None:
    """A file without rights, or a folder, would be called missing or a fault of the program."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("n" * 300)
    with pytest.raises(MissingInputError) as raised, SourceReader(
        kind(path=tmp_path / name)
    ) as reader:  # fmt: skip
        reader.wait_for_end()
    assert says in str(raised.value)


@pytest.mark.data
@pytest.mark.parametrize("name", ["bldc_motor", "mimii_fan", "esc10_noise", "desk_fan"])
def test_the_evaluation_recordings_are_read_whole(name: str) -> None:
    """Files of real recorders, which differ from generated files, could not be read."""
    for path in recording_files([shared_data(name)]):
        expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
        assert np.allclose(sound_of(path), expected.mean(axis=1), atol=1e-6)
