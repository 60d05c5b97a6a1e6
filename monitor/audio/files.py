"""Recordings as audio blocks, however long they are: wav, flac, ogg, mp3."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from monitor.audio.channels import Channel, first_unsound, one_channel
from monitor.audio.truncation import check_ogg_is_whole, check_wav_is_whole
from monitor.domain import AudioBlock
from monitor.errors import BadInputError, MissingInputError

BLOCK_S = 4.0
"""Length of the blocks when they are not needed in real time."""

_MAX_BLOCK_VALUES = 1 << 22
_MAX_CHANNELS = 64
_RATES_HZ = range(1_000, 768_001)
_UNKNOWN_FRAMES = 1 << 48
_FORMATS = frozenset({"WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3"})
_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS", b"ID3")
_EXPECTED = "expected a recording: wav, flac, ogg or mp3"


class _OneWayFile(soundfile.SoundFile):  # type: ignore[misc]  # published without types
    """A recording that is read from front to back.

    soundfile seeks after every read of a seekable file. Seeking takes time, and it fails
    in a FLAC that was written to a pipe, without its length.
    """

    def seekable(self) -> bool:
        """Never."""
        return False


def read_blocks(
    path: Path, channel: Channel = "mix", *, block_s: float = BLOCK_S
) -> Iterator[AudioBlock]:
    """A recording's sound from its beginning, at its own rate, in constant memory.

    Any bit depth and up to 64 channels. Raises ``MissingInputError`` when there is
    no such file, and ``BadInputError`` naming the file and what would be right when
    it is not an audio file, has no such channel, has no samples, has samples that are not
    finite, or is shorter than its header states (for an mp3: much shorter).
    """
    with _opened(path) as file:
        if channel != "mix" and channel >= file.channels:
            there = f"channels 0 to {file.channels - 1}" if file.channels > 1 else "channel 0"
            raise BadInputError(f"{path}: has no channel {channel}, only {there}")
        rate_hz: int = file.samplerate
        block_frames = round(block_s * rate_hz)
        block_frames = max(1, min(block_frames, _MAX_BLOCK_VALUES // file.channels))
        buffer = np.empty((block_frames, file.channels), dtype=np.float32)
        first_sample = 0
        while True:
            try:
                frames = file.read(out=buffer)
            except soundfile.LibsndfileError:
                raise _damaged(path, first_sample / rate_hz) from None
            if not len(frames):
                break
            if (bad := first_unsound(frames)) is not None:
                raise BadInputError(
                    f"{path}: sample {first_sample + bad} is not valid: it is NaN, infinite or "
                    "far above full scale; samples stored as floats must be between -1 and 1"
                )
            yield AudioBlock(one_channel(frames, channel), rate_hz, first_sample)
            first_sample += len(frames)
        if _is_short(file, first_sample):
            raise _damaged(path, first_sample / rate_hz)


def recording_seconds(path: Path) -> float:
    """How long a recording is, by its header. Raises as :func:`read_blocks`."""
    with _opened(path) as file:
        if file.frames < _UNKNOWN_FRAMES:
            return float(file.frames / file.samplerate)
    return max((block.end_s for block in read_blocks(path)), default=0.0)


def _damaged(path: Path, good_s: float) -> BadInputError:
    return BadInputError(
        f"{path}: truncated or damaged after {good_s:.2f} s; "
        "copy it again, or use a complete recording"
    )


def _is_short(file: _OneWayFile, n_frames: int) -> bool:
    """Whether the file is shorter than its header states. An mp3's length is an estimate."""
    promised = int(file.frames)
    if promised >= _UNKNOWN_FRAMES:
        return False
    tolerated = max(int(file.samplerate), promised // 50) if file.format == "MP3" else 0
    return promised - n_frames > tolerated


@contextmanager
def _opened(path: Path) -> Iterator[_OneWayFile]:
    """The recording, after a check of its header."""
    descriptor = _open_descriptor(path)
    try:
        file = _OneWayFile(descriptor, closefd=False)
    except (soundfile.LibsndfileError, TypeError, ValueError):
        os.close(descriptor)
        raise BadInputError(f"{path}: cannot be decoded; {_EXPECTED}") from None
    try:
        with file:
            _check_header(path, file)
            yield file
    finally:
        os.close(descriptor)


def _open_descriptor(path: Path) -> int:
    """A descriptor of what may be a recording, positioned at the beginning."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise MissingInputError(f"{path}: cannot be opened: {why}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BadInputError(f"{path}: not a file; {_EXPECTED}")
        if status.st_size == 0:
            raise BadInputError(f"{path}: empty; {_EXPECTED}")
        _check_magic(path, os.pread(descriptor, 4, 0))
        check_wav_is_whole(descriptor, path)
        check_ogg_is_whole(descriptor, path)
    except OSError as error:
        os.close(descriptor)
        raise BadInputError(f"{path}: cannot be read: {error.strerror}") from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_magic(path: Path, head: bytes) -> None:
    """Refuse a file whose first bytes are not those of an audio file, whatever its name."""
    is_mpeg = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0
    if not head.startswith(_MAGIC) and not is_mpeg and path.suffix.lower() != ".mp3":
        raise BadInputError(f"{path}: not an audio file; {_EXPECTED}")


def _check_header(path: Path, file: _OneWayFile) -> None:
    if file.format not in _FORMATS:
        raise BadInputError(f"{path}: is a {file.format} file; {_EXPECTED}")
    if file.samplerate not in _RATES_HZ:
        raise BadInputError(
            f"{path}: {file.samplerate} Hz is not a usable sample rate; "
            f"expected {_RATES_HZ[0]} to {_RATES_HZ[-1]} Hz"
        )
    if not 1 <= file.channels <= _MAX_CHANNELS:
        raise BadInputError(
            f"{path}: has {file.channels} channels, at most {_MAX_CHANNELS} can be read"
        )
    if file.frames <= 0:
        raise BadInputError(f"{path}: contains no samples")
