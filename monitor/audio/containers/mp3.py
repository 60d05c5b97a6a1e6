"""MP3 files: ISO/IEC 11172-3 and 13818-3, with the tags that programs put around them.

An MP3 file does not state its length. A Xing or VBRI frame may, for the encoder's own output;
otherwise libsndfile estimates it from the size and the first frame, and stops there. So the frames
are counted here, and libsndfile gets a Xing frame with their number.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from monitor.audio.containers.parts import Part, Range, Recording
from monitor.audio.containers.tags import MOST_HEADER_BYTES, tag_bytes, tag_without_length
from monitor.audio.containers.walking import ReadAhead, no_frame
from monitor.errors import BadInputError, TruncatedError

_HEADER_BYTES = 4
_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""By the version bits: MPEG 1, 2 and 2.5."""
_KBIT_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBIT_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_LAYER_3 = 1
_MONO = 3
_MOST_JUNK_BYTES = 1 << 16
_DECODER_FRAMES = 3
"""Encoder delay, padding and a last frame whose bits are in no other: frames a decoder may drop."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """One frame of layer III: its length, and what all frames of a recording share."""

    n_bytes: int
    version: int
    rate_hz: int
    is_mono: bool

    @property
    def samples(self) -> int:
        """Samples a channel."""
        return 1152 if self.version == 3 else 576

    @property
    def side_bytes(self) -> int:
        """Bytes of side information, after which a Xing frame has its name."""
        if self.version == 3:
            return 17 if self.is_mono else 32
        return 9 if self.is_mono else 17

    def same_stream(self, other: _Frame) -> bool:
        """Whether a decoder can continue from one to the other."""
        mine = (self.version, self.rate_hz, self.is_mono)
        return mine == (other.version, other.rate_hz, other.is_mono)


def mp3_recordings(descriptor: int, path: Path) -> list[Recording]:
    """The recordings of an MP3 file: one for each run of frames of one sample rate.

    Raises ``BadInputError`` where frames are cut off or something else lies between them, and
    where there is no frame of layer III at all.
    """
    recordings = _Walk(descriptor, path).recordings()
    if not recordings:
        raise BadInputError(f"{path}: not an audio file: no MP3 frame in it")
    return recordings


class _Walk:
    """From frame to frame through one file."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._path = path
        self._read = ReadAhead(descriptor)
        self._size = self._read.size
        self._runs: list[tuple[_Frame, list[Range], int]] = []
        self._stated: list[tuple[int | None, int]] = []
        """The frames that each Xing frame states, and the number of frames before it."""

    def recordings(self) -> list[Recording]:
        offset = 0
        while offset < self._size:
            if n_bytes := tag_bytes(self._read.at(offset, MOST_HEADER_BYTES)):
                if self._runs and offset + n_bytes > self._size:
                    raise self._damaged(offset)
                offset += n_bytes
                continue
            frame = _frame(self._read.at(offset, _HEADER_BYTES))
            if frame is None:
                offset = self._resume(offset)
                continue
            if offset + frame.n_bytes > self._size:
                if self._runs:
                    raise self._cut(offset)
                break
            if self._is_information(offset, frame):
                self._stated.append((self._stated_frames(offset, frame), self._n_counted()))
            else:
                self._add(offset, frame)
            offset += frame.n_bytes
        n_counted = self._n_counted()
        for i, (of_part, before) in enumerate(self._stated):
            end = self._stated[i + 1][1] if i + 1 < len(self._stated) else n_counted
            # Some encoders also count the frame that contains the stated number.
            if of_part is not None and end - before < of_part - 1:
                raise TruncatedError(
                    f"{self._path}: truncated: its header states {of_part} MP3 frames, "
                    f"{end - before} are present; copy it again, or use a complete recording"
                )
        stated = self._stated[0][0] if len(self._stated) == 1 else None
        if len(self._runs) == 1 and stated in {n_counted, n_counted + 1}:
            # The encoder's own note is right: it also has the delay that a decoder removes.
            first, ranges, n_frames = self._runs[0]
            n_samples = n_frames * first.samples
            whole = Range(0, self._size)
            tolerance = _DECODER_FRAMES * first.samples
            return [Recording((whole,), n_samples, tolerance, coded_bytes=_bytes_of(ranges))]
        return [self._recording(*run) for run in self._runs]

    def _n_counted(self) -> int:
        return sum(n_frames for _, _, n_frames in self._runs)

    def _resume(self, offset: int) -> int:
        """Where frames continue, or the end of the file if only a remnant follows.

        Zeros are padding. Raises ``BadInputError`` for anything else between frames.
        """
        limit = min(self._size, offset + _MOST_JUNK_BYTES)
        junk = self._read.at(offset, limit - offset)
        zeros = len(junk) - len(junk.lstrip(b"\0"))
        if zeros:
            return offset + zeros
        if self._runs and (n_bytes := tag_without_length(junk)):
            return offset + n_bytes
        for start in range(offset + 1, limit):
            if junk[start - offset] == 0xFF and self._begins_frames(start):
                if self._runs:
                    raise self._damaged(offset)
                return start  # bytes before the first frame are not sound
            if self._runs and junk[start - offset :][:3] in {b"TAG", b"ID3"}:
                raise self._damaged(offset)
        if limit < self._size or self._runs:
            raise (
                self._damaged(offset)
                if self._runs
                else BadInputError(
                    f"{self._path}: not an audio file: no MP3 frame in its first "
                    f"{_MOST_JUNK_BYTES >> 10} KiB"
                )
            )
        return self._size

    def _begins_frames(self, offset: int) -> bool:
        """Whether a frame begins here and another one of the same stream follows it."""
        frame = _frame(self._read.at(offset, _HEADER_BYTES))
        if frame is None:
            return False
        next_one = _frame(self._read.at(offset + frame.n_bytes, _HEADER_BYTES))
        return next_one is not None and next_one.same_stream(frame)

    def _is_information(self, offset: int, frame: _Frame) -> bool:
        """Whether the frame has no sound and states the length."""
        body = self._read.at(offset, min(frame.n_bytes, 64))
        name_at = _HEADER_BYTES + frame.side_bytes
        return body[name_at : name_at + 4] in {b"Xing", b"Info"} or body[36:40] == b"VBRI"

    def _stated_frames(self, offset: int, frame: _Frame) -> int | None:
        """The number of frames that a Xing frame states, None if it does not."""
        name_at = offset + _HEADER_BYTES + frame.side_bytes
        fields = self._read.at(name_at, 12)
        if fields[:4] not in {b"Xing", b"Info"} or len(fields) < 12 or not fields[7] & 1:
            return None
        return int.from_bytes(fields[8:12], "big")

    def _add(self, offset: int, frame: _Frame) -> None:
        if not self._runs or not self._runs[-1][0].same_stream(frame):
            self._runs.append((frame, [], 0))
        first, ranges, n_frames = self._runs[-1]
        if ranges and ranges[-1].end == offset:
            ranges[-1] = Range(ranges[-1].start, offset + frame.n_bytes)
        else:
            ranges.append(Range(offset, offset + frame.n_bytes))
        self._runs[-1] = (first, ranges, n_frames + 1)

    def _recording(self, first: _Frame, ranges: list[Range], n_frames: int) -> Recording:
        header = self._read.at(ranges[0].start, _HEADER_BYTES)
        parts: tuple[Part, ...] = (_xing_frame(header, first, n_frames), *ranges)
        n_samples, tolerance = n_frames * first.samples, _DECODER_FRAMES * first.samples
        return Recording(parts, n_samples, tolerance, coded_bytes=_bytes_of(ranges))

    def _cut(self, offset: int) -> TruncatedError:
        return TruncatedError(
            f"{self._path}: truncated: the last MP3 frame (at byte {offset}) is cut off; "
            "copy it again, or use a complete recording"
        )

    def _damaged(self, offset: int) -> BadInputError:
        return no_frame(self._path, "MP3", offset, self._size)


def _bytes_of(ranges: list[Range]) -> int:
    return sum(one.end - one.start for one in ranges)


def _frame(header: bytes) -> _Frame | None:
    """The frame of layer III with this header, None for anything else."""
    if len(header) < _HEADER_BYTES or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    kbit_index, rate_index, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer != _LAYER_3 or rate_index == 3 or kbit_index in {0, 15}:
        return None
    rate_hz = _RATES_HZ[version][rate_index]
    kbit = (_KBIT_1 if version == 3 else _KBIT_2)[kbit_index]
    n_bytes = (144 if version == 3 else 72) * kbit * 1000 // rate_hz + padding
    return _Frame(n_bytes, version, rate_hz, header[3] >> 6 == _MONO)


def _xing_frame(header: bytes, first: _Frame, n_frames: int) -> bytes:
    """A frame without sound that states the number of frames after it."""
    no_checksum = header[1] | 1
    kbit_index = 9  # 128 or 80 kbit/s: long enough at every sample rate for what follows
    plain = bytes([0xFF, no_checksum, kbit_index << 4 | (header[2] & 0x0C), header[3]])
    frame = _frame(plain)
    if frame is None:
        raise ValueError(f"not the header of an MP3 frame: {header.hex()}")
    text = plain + bytes(first.side_bytes) + b"Xing" + struct.pack(">II", 1, n_frames)
    return text.ljust(frame.n_bytes, b"\0")
