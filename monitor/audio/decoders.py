"""One recording to samples: decoded by libsndfile, or by ffmpeg.

Both decoders compare what they give with the length that the file states.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import soundfile

from monitor.audio import ffmpeg
from monitor.audio.channel_choice import Channel
from monitor.audio.channels import first_unsound
from monitor.audio.containers.formats import EXPECTED
from monitor.audio.containers.parts import ForFfmpeg, Recording, joined_file
from monitor.domain import LOSSY, CaptureChain, FloatArray
from monitor.errors import BadInputError, TruncatedError

_MAX_BLOCK_VALUES = 1 << 22
_MAX_CHANNELS = 64
RATES_HZ = range(1_000, 768_001)
"""The sample rates of sound."""
_UNKNOWN_FRAMES = 1 << 48
_READ_AHEAD_BYTES = 1 << 14
_PER_STEP = np.float32(2.0**-15)
"""Full scale is 1."""


class Decoder:
    """One recording of a file.

    ``skipped``: samples at its beginning that were skipped without decoding. ``n_frames``:
    samples a channel as the file states, and ``kbit_s`` by them; None where it does not.
    """

    skipped: int
    rate_hz: int
    channels: int
    n_frames: int | None
    encoding: str
    kbit_s: float | None

    def check(self, path: Path, channel: Channel) -> None:
        """Refuse rates and channels that are not those of sound. Raises ``BadInputError``."""
        if self.rate_hz not in RATES_HZ:
            raise BadInputError(
                f"{path}: {self.rate_hz} Hz is not a usable sample rate; "
                f"expected {RATES_HZ[0]} to {RATES_HZ[-1]} Hz"
            )
        channels = self.channels
        if not 1 <= channels <= _MAX_CHANNELS:
            raise BadInputError(
                f"{path}: has {channels} channels, at most {_MAX_CHANNELS} can be read"
            )
        if channel != "mix" and channel >= channels:
            there = f"channels 0 to {channels - 1}" if channels > 1 else "channel 0"
            raise BadInputError(f"{path}: has no channel {channel}, only {there}")

    @property
    def chain(self) -> CaptureChain:
        """The chain as the file states it, with the bit rate of a lossy encoding."""
        kbit_s = None
        if self.encoding in LOSSY and self.kbit_s is not None:
            kbit_s = round(self.kbit_s, 1)
        return CaptureChain("file", self.rate_hz, self.channels, self.encoding, kbit_s)

    def blocks(self, path: Path, block_s: float, before: int) -> Iterator[FloatArray]:
        """Its samples, float32 ``(n_frames, channels)``; ``before``: samples before it.

        Raises ``BadInputError`` where samples are damaged, missing or not those of sound.
        """
        raise NotImplementedError

    def _block_frames(self, block_s: float) -> int:
        return max(1, min(round(block_s * self.rate_hz), _MAX_BLOCK_VALUES // self.channels))


class OneWayFile(soundfile.SoundFile):  # type: ignore[misc]  # published without types
    """A recording that is read from front to back.

    soundfile seeks after every read of a seekable file. Seeking takes time, and it fails
    in a FLAC that was written to a pipe, without its length.
    """

    def seekable(self) -> bool:
        """Never."""
        return False


def open_file(path: Path, file: int | IO[bytes]) -> OneWayFile:
    """Decode an open file. Raises ``BadInputError`` for a format that libsndfile does not read."""
    descriptor = file if isinstance(file, int) else file.fileno()
    try:
        return OneWayFile(descriptor, closefd=False)
    except (soundfile.LibsndfileError, TypeError, ValueError):
        raise BadInputError(f"{path}: cannot be decoded; {EXPECTED}") from None


class BySndfile(Decoder):
    """A recording that libsndfile decodes."""

    def __init__(
        self, file: OneWayFile, recording: Recording, skipped: int, descriptor: int
    ) -> None:
        self._file, self._recording, self._descriptor = file, recording, descriptor
        self.skipped = skipped
        self.rate_hz, self.channels = int(file.samplerate), int(file.channels)
        self.encoding = _encoding_of(file.format, file.subtype)
        self.n_frames = recording.n_frames
        if self.n_frames is None and file.frames < _UNKNOWN_FRAMES:
            self.n_frames = int(file.frames)
        self.kbit_s: float | None = None
        if self.n_frames:
            self.kbit_s = recording.n_bytes * 8 / (self.n_frames / self.rate_hz) / 1000

    def blocks(self, path: Path, block_s: float, before: int) -> Iterator[FloatArray]:
        """See ``Decoder``."""
        n_frames = 0
        # For more frames than stated, libsndfile reads to the end of the file but returns nothing.
        most = self._recording.n_frames if self._recording.without_length else None
        for frames in self._read(self._file, path, block_s, before, most):
            yield frames
            n_frames += len(frames)
        if self._has_more_than_stated(n_frames):
            parts = self._recording.without_length
            with joined_file(self._descriptor, parts) as copy, open_file(path, copy) as file:
                for frames in _after(n_frames, self._read(file, path, block_s, before)):
                    yield frames
                    n_frames += len(frames)
        if self.n_frames is not None and n_frames < self.n_frames - self._recording.tolerance:
            raise _damaged(path, (before + n_frames) / self.rate_hz)

    def _has_more_than_stated(self, n_frames: int) -> bool:
        """Whether the file has more sound than its header states."""
        if not self._recording.without_length or n_frames != self._recording.n_frames:
            return False
        position = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        return os.fstat(self._descriptor).st_size - position > _READ_AHEAD_BYTES

    def _read(
        self,
        file: OneWayFile,
        path: Path,
        block_s: float,
        before: int,
        most: int | None = None,
    ) -> Iterator[FloatArray]:
        block_frames = self._block_frames(block_s)
        buffer = np.empty((block_frames, self.channels), dtype=np.float32)
        # numpy converts whole numbers in a fraction of the time.
        whole = np.empty(buffer.shape, dtype=np.int16) if file.subtype == "PCM_16" else None
        n_frames = 0
        while True:
            room = buffer if most is None else buffer[: most - n_frames]
            try:
                if whole is None:
                    frames = file.read(out=room) if len(room) else room
                else:
                    read = file.read(out=whole[: len(room)]) if len(room) else whole[:0]
                    frames = np.multiply(read, _PER_STEP, out=room[: len(read)])
            except soundfile.LibsndfileError:
                raise _damaged(path, (before + n_frames) / self.rate_hz) from None
            if not len(frames):
                return
            if whole is None:
                _require_sound(path, frames, before + n_frames)
            yield frames
            n_frames += len(frames)


class ByFfmpeg(Decoder):
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

    def blocks(self, path: Path, block_s: float, before: int) -> Iterator[FloatArray]:
        """See ``Decoder``."""
        n_frames = before
        block_frames = self._block_frames(block_s)
        for frames in ffmpeg.decode(path, self._stream, block_frames):
            _require_sound(path, frames, n_frames)
            yield frames
            n_frames += len(frames)


def _encoding_of(file_format: str, subtype: str) -> str:
    if file_format == "MP3" or subtype in LOSSY:
        return "MP3" if file_format == "MP3" else subtype
    return f"{file_format} {subtype}"


def _after(n_frames: int, blocks: Iterator[FloatArray]) -> Iterator[FloatArray]:
    """Blocks without the first ``n_frames`` samples."""
    for frames in blocks:
        rest = frames[n_frames:]
        n_frames = max(0, n_frames - len(frames))
        if len(rest):
            yield rest


def _require_sound(path: Path, frames: FloatArray, before: int) -> None:
    if (bad := first_unsound(frames)) is not None:
        raise BadInputError(
            f"{path}: sample {before + bad} is not valid: it is NaN, infinite or "
            "far above full scale; samples stored as floats must be between -1 and 1"
        )


def _damaged(path: Path, good_s: float) -> TruncatedError:
    return TruncatedError(
        f"{path}: truncated or damaged after {good_s:.2f} s; "
        "copy it again, or use a complete recording"
    )
