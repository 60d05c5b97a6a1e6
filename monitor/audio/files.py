"""Recordings as audio blocks, however long they are, complete or refused.

Formats: docs/sources.md. libsndfile decodes; where the sound begins and ends is read from the
file itself (``monitor.audio.containers``), because headers can be wrong.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import soundfile

from monitor.audio import ffmpeg
from monitor.audio.channels import Channel, first_unsound, one_channel
from monitor.audio.containers.formats import EXPECTED, walk_for
from monitor.audio.containers.parts import ForFfmpeg, Range, Recording, joined_file
from monitor.audio.containers.riff import riff_recordings
from monitor.domain import LOSSY, AudioBlock, CaptureChain, FloatArray
from monitor.errors import BadInputError, MissingInputError, TruncatedError

BLOCK_S = 4.0
"""Length of the blocks when they are not needed in real time."""

_MAX_BLOCK_VALUES = 1 << 22
_MAX_CHANNELS = 64
_RATES_HZ = range(1_000, 768_001)
_UNKNOWN_FRAMES = 1 << 48
_READ_AHEAD_BYTES = 1 << 14


class _OneWayFile(soundfile.SoundFile):  # type: ignore[misc]  # published without types
    """A recording that is read from front to back.

    soundfile seeks after every read of a seekable file. Seeking takes time, and it fails
    in a FLAC that was written to a pipe, without its length.
    """

    def seekable(self) -> bool:
        """Never."""
        return False


def read_blocks(
    path: Path,
    channel: Channel = "mix",
    *,
    block_s: float = BLOCK_S,
    skip_frames: int = 0,
    growing: bool = False,
) -> Iterator[AudioBlock]:
    """A recording's sound from its beginning, at its own rate, in constant memory.

    A file that holds several recordings one after the other gives one after the other; they
    must have the same rate. Any bit depth and up to 64 channels. ``skip_frames``: begin after so
    many samples. ``growing``: a WAV may still be being written, so its header may state another
    length than there is; what is there is read. Raises ``MissingInputError``
    when there is no such file or its format needs ffmpeg and that is not installed, and
    ``BadInputError`` naming the file and what would be right when it is no recording, has no
    such channel, contains no samples, holds some that are not finite, or is not all there.
    """
    first_sample, rate_hz, skip = 0, 0, skip_frames
    with _opened(path, skip_frames=skip_frames, growing=growing) as recordings:
        for recording in recordings:
            if rate_hz not in {0, recording.rate_hz}:
                raise BadInputError(
                    f"{path}: several recordings in one file with {rate_hz} and "
                    f"{recording.rate_hz} Hz; use one file for each"
                )
            rate_hz = recording.rate_hz
            recording.check(path, channel)
            first_sample += recording.skipped
            skip -= recording.skipped
            chain = _chain_of(recording)
            for frames in recording.blocks(path, block_s, first_sample):
                first_sample += len(frames)
                wanted = frames[skip:] if skip > 0 else frames
                skip = max(0, skip - len(frames))
                if len(wanted):
                    start = first_sample - len(wanted)
                    yield AudioBlock(one_channel(wanted, channel), rate_hz, start, chain=chain)
    if not first_sample:
        raise BadInputError(f"{path}: contains no samples")


def require_stated_length(path: Path) -> None:
    """Raise ``TruncatedError`` for a WAV that contains less sound than its header states.

    Reading it with ``growing`` does not check this.
    """
    descriptor = _open_descriptor(path)
    try:
        if walk_for(descriptor, path) is riff_recordings:
            riff_recordings(descriptor, path)
    except TruncatedError:
        raise
    except (BadInputError, OSError):  # a header that states less, or nothing yet
        return
    finally:
        os.close(descriptor)


class _Decoded:
    """One recording of a file, as libsndfile decodes it."""

    def __init__(
        self, file: _OneWayFile, recording: Recording, skipped: int, descriptor: int
    ) -> None:
        self._file, self._recording, self._descriptor = file, recording, descriptor
        self.skipped = skipped
        """Samples at its beginning that were skipped without decoding."""
        self.rate_hz, self.channels = int(file.samplerate), int(file.channels)
        self.encoding = _encoding_of(file.format, file.subtype)
        self.n_frames = recording.n_frames
        """Samples a channel by its headers, None where they do not state it."""
        if self.n_frames is None and file.frames < _UNKNOWN_FRAMES:
            self.n_frames = int(file.frames)
        self.kbit_s: float | None = None
        if self.n_frames:
            self.kbit_s = recording.n_bytes * 8 / (self.n_frames / self.rate_hz) / 1000

    def check(self, path: Path, channel: Channel) -> None:
        """Refuse rates and channels that are not those of sound."""
        _check_sound(path, self.rate_hz, self.channels, channel)

    def blocks(self, path: Path, block_s: float, before: int) -> Iterator[FloatArray]:
        """Its samples, float32 ``(n_frames, channels)``; ``before``: samples before it."""
        n_frames = 0
        # For more frames than stated, libsndfile reads to the end of the file but returns nothing.
        most = self._recording.n_frames if self._recording.without_length else None
        for frames in self._read(self._file, path, block_s, before, most):
            yield frames
            n_frames += len(frames)
        if self._goes_on(n_frames):
            parts = self._recording.without_length
            with joined_file(self._descriptor, parts) as copy, _opened_file(path, copy) as file:
                for frames in _after(n_frames, self._read(file, path, block_s, before)):
                    yield frames
                    n_frames += len(frames)
        if self.n_frames is not None and n_frames < self.n_frames - self._recording.tolerance:
            raise _damaged(path, (before + n_frames) / self.rate_hz)

    def _goes_on(self, n_frames: int) -> bool:
        """Whether the file has more sound than its header states."""
        if not self._recording.without_length or n_frames != self._recording.n_frames:
            return False
        position = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        return os.fstat(self._descriptor).st_size - position > _READ_AHEAD_BYTES

    def _read(
        self,
        file: _OneWayFile,
        path: Path,
        block_s: float,
        before: int,
        most: int | None = None,
    ) -> Iterator[FloatArray]:
        block_frames = _block_frames(block_s, self.rate_hz, self.channels)
        buffer = np.empty((block_frames, self.channels), dtype=np.float32)
        n_frames = 0
        while True:
            room = buffer if most is None else buffer[: most - n_frames]
            try:
                frames = file.read(out=room) if len(room) else room
            except soundfile.LibsndfileError:
                raise _damaged(path, (before + n_frames) / self.rate_hz) from None
            if not len(frames):
                return
            _require_sound(path, frames, before + n_frames)
            yield frames
            n_frames += len(frames)


def _after(n_frames: int, blocks: Iterator[FloatArray]) -> Iterator[FloatArray]:
    """Blocks without the first ``n_frames`` samples."""
    for frames in blocks:
        rest = frames[n_frames:]
        n_frames = max(0, n_frames - len(frames))
        if len(rest):
            yield rest


class _ByFfmpeg:
    """A recording that ffmpeg decodes."""

    def __init__(self, path: Path, counted: ForFfmpeg) -> None:
        self._stream = ffmpeg.probe(path)
        if counted.seconds is not None:
            self._stream = replace(self._stream, seconds=counted.seconds, kbit_s=None)
        self.skipped = 0
        self.rate_hz, self.channels = self._stream.sample_rate_hz, self._stream.channels
        self.n_frames = (
            None if self._stream.seconds is None else round(self._stream.seconds * self.rate_hz)
        )
        self.encoding = self._stream.codec
        self.kbit_s = self._stream.kbit_s
        if self.kbit_s is None and self._stream.seconds:
            n_bytes = counted.coded_bytes or path.stat().st_size
            self.kbit_s = n_bytes * 8 / self._stream.seconds / 1000

    def check(self, path: Path, channel: Channel) -> None:
        """Refuse rates and channels that are not those of sound."""
        _check_sound(path, self.rate_hz, self.channels, channel)

    def blocks(self, path: Path, block_s: float, before: int) -> Iterator[FloatArray]:
        """Its samples, float32 ``(n_frames, channels)``."""
        n_frames = before
        block_frames = _block_frames(block_s, self.rate_hz, self.channels)
        for frames in ffmpeg.decode(path, self._stream, block_frames):
            _require_sound(path, frames, n_frames)
            yield frames
            n_frames += len(frames)


def _encoding_of(file_format: str, subtype: str) -> str:
    if file_format == "MP3" or subtype in LOSSY:
        return "MP3" if file_format == "MP3" else subtype
    return f"{file_format} {subtype}"


def _chain_of(recording: _Decoded | _ByFfmpeg) -> CaptureChain:
    """The chain as the file states it, with the bit rate of a lossy encoding."""
    kbit_s = None
    if recording.encoding in LOSSY and recording.kbit_s is not None:
        kbit_s = round(recording.kbit_s, 1)
    return CaptureChain("file", recording.rate_hz, recording.channels, recording.encoding, kbit_s)


def _block_frames(block_s: float, rate_hz: int, channels: int) -> int:
    return max(1, min(round(block_s * rate_hz), _MAX_BLOCK_VALUES // channels))


def _require_sound(path: Path, frames: FloatArray, before: int) -> None:
    if (bad := first_unsound(frames)) is not None:
        raise BadInputError(
            f"{path}: sample {before + bad} is not valid: it is NaN, infinite or "
            "far above full scale; samples stored as floats must be between -1 and 1"
        )


def _check_sound(path: Path, rate_hz: int, channels: int, channel: Channel) -> None:
    if rate_hz not in _RATES_HZ:
        raise BadInputError(
            f"{path}: {rate_hz} Hz is not a usable sample rate; "
            f"expected {_RATES_HZ[0]} to {_RATES_HZ[-1]} Hz"
        )
    if not 1 <= channels <= _MAX_CHANNELS:
        raise BadInputError(f"{path}: has {channels} channels, at most {_MAX_CHANNELS} can be read")
    if channel != "mix" and channel >= channels:
        there = f"channels 0 to {channels - 1}" if channels > 1 else "channel 0"
        raise BadInputError(f"{path}: has no channel {channel}, only {there}")


def _damaged(path: Path, good_s: float) -> TruncatedError:
    return TruncatedError(
        f"{path}: truncated or damaged after {good_s:.2f} s; "
        "copy it again, or use a complete recording"
    )


@contextmanager
def _opened(
    path: Path, *, skip_frames: int = 0, growing: bool = False
) -> Iterator[Iterator[_Decoded | _ByFfmpeg]]:
    """The recordings of a file, each opened when it is needed."""
    descriptor = _open_descriptor(path)
    try:
        walk = walk_for(descriptor, path)
        if growing and walk is riff_recordings:
            found = riff_recordings(descriptor, path, growing=True)
            yield _decoded(descriptor, path, found, skip_frames)
            return
        recordings = walk(descriptor, path)
        if isinstance(recordings, ForFfmpeg):
            yield iter([_ByFfmpeg(path, recordings)])
        else:
            yield _decoded(descriptor, path, recordings, 0)
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)


def _decoded(
    descriptor: int, path: Path, recordings: list[Recording], skip_frames: int
) -> Iterator[_Decoded | _ByFfmpeg]:
    whole = (Range(0, os.fstat(descriptor).st_size),)
    for recording in recordings:
        rest, left = recording.skipping(skip_frames)
        skipped, skip_frames = skip_frames - left, left
        if rest.parts == whole:
            os.lseek(descriptor, 0, os.SEEK_SET)
            with _opened_file(path, descriptor) as file:
                yield _Decoded(file, rest, skipped, descriptor)
        else:
            with joined_file(descriptor, rest.parts) as copy, _opened_file(path, copy) as file:
                yield _Decoded(file, rest, skipped, descriptor)


def _opened_file(path: Path, file: int | IO[bytes]) -> _OneWayFile:
    """Decode an open file. Raises ``BadInputError`` for a format that libsndfile does not read."""
    descriptor = file if isinstance(file, int) else file.fileno()
    try:
        return _OneWayFile(descriptor, closefd=False)
    except (soundfile.LibsndfileError, TypeError, ValueError):
        raise BadInputError(f"{path}: cannot be decoded; {EXPECTED}") from None


def _open_descriptor(path: Path) -> int:
    """A descriptor of what may be a recording, positioned at the beginning."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise MissingInputError(f"{path}: cannot be opened: {why}") from None
    status = os.fstat(descriptor)
    trouble = "not a file" if not stat.S_ISREG(status.st_mode) else ""
    trouble = trouble or ("" if status.st_size else "empty")
    if trouble:
        os.close(descriptor)
        raise BadInputError(f"{path}: {trouble}; {EXPECTED}")
    return descriptor
