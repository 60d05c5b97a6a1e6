"""AIFF and Wave64: files whose chunks state the length of the samples.

libsndfile reads the bytes that exist. It reports neither missing bytes nor bytes after the stated
length. A file may contain several recordings one after the other; each is decoded separately.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

from monitor.audio.containers.parts import Range, Recording
from monitor.errors import BadInputError, TruncatedError

AIFF_MAGIC = b"FORM"
W64_MAGIC = b"riff"
_AIFF_KINDS = frozenset({b"AIFF", b"AIFC"})
_W64_KIND = b"wave"
_W64_DATA = b"data"
_W64_HEADER_BYTES = 24
_W64_FILE_BYTES = 40
_AIFF_FILE_BYTES = 12
_PLAIN_CODECS = frozenset({b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64", b"FL64"})
_MOST_CHUNKS = 1000
_REMNANT_BYTES = 4096

_Walk = Callable[[int, Path, int, int], int]


def aiff_recordings(descriptor: int, path: Path) -> list[Recording]:
    """The recordings of an AIFF or AIFF-C file (Apple, 1989 and 1991): one, or several joined.

    Raises ``BadInputError`` where samples are missing or more follow than is stated.
    """
    return _recordings(descriptor, path, _end_of_aiff)


def w64_recordings(descriptor: int, path: Path) -> list[Recording]:
    """The recordings of a Wave64 file (Sonic Foundry): one, or several that were joined.

    Raises ``BadInputError`` where samples are missing or more follow than is stated.
    """
    return _recordings(descriptor, path, _end_of_w64)


def _recordings(descriptor: int, path: Path, end_of: _Walk) -> list[Recording]:
    size = os.fstat(descriptor).st_size
    recordings: list[Recording] = []
    offset = 0
    while offset < size:
        end = end_of(descriptor, path, offset, size)
        recordings.append(Recording((Range(offset, end),)))
        offset = end
    return recordings


def _end_of_aiff(descriptor: int, path: Path, start: int, size: int) -> int:
    """Where the next recording begins, or the end of the file."""
    offset, end_of_samples = start + _AIFF_FILE_BYTES, None
    stated_bytes = present_bytes = 0
    for _ in range(_MOST_CHUNKS):
        head = os.pread(descriptor, 12, offset)
        if len(head) < 8:
            break
        name, n_bytes = head[:4], struct.unpack(">I", head[4:8])[0]
        if end_of_samples is not None:
            if name == AIFF_MAGIC and head[8:] in _AIFF_KINDS:
                _require(path, stated_bytes, present_bytes)
                return offset
            if not all(0x20 <= byte < 0x7F for byte in name):
                break
        if name == b"COMM":
            stated_bytes = _stated_bytes(os.pread(descriptor, min(n_bytes, 22), offset + 8))
        if name == b"SSND":
            _require(path, n_bytes, size - offset - 8)
            end_of_samples, present_bytes = offset + 8 + n_bytes, n_bytes - 8
        offset += 8 + n_bytes + n_bytes % 2
    end = _end_of_file(path, size, end_of_samples, offset)
    _require(path, stated_bytes, present_bytes)
    return end


def _stated_bytes(common: bytes) -> int:
    """The bytes of samples by the COMM chunk; 0 where the encoding decides how many there are."""
    if len(common) < 18 or (len(common) == 22 and common[18:] not in _PLAIN_CODECS):
        return 0
    channels, n_frames, bits = struct.unpack(">hIh", common[:8])
    return max(0, int(channels) * int(n_frames) * ((int(bits) + 7) // 8))


def _end_of_w64(descriptor: int, path: Path, start: int, size: int) -> int:
    """Where the next recording begins, or the end of the file."""
    offset, end_of_samples = start + _W64_FILE_BYTES, None
    for _ in range(_MOST_CHUNKS):
        head = os.pread(descriptor, _W64_HEADER_BYTES + 4, offset)
        if len(head) < _W64_HEADER_BYTES:
            break
        n_bytes = struct.unpack("<Q", head[16:24])[0] - _W64_HEADER_BYTES
        if end_of_samples is not None:
            if head[:4] == W64_MAGIC and head[24:] == _W64_KIND:
                return offset
            if offset + n_bytes > size:
                break
        if n_bytes < 0:
            break
        if head[:4] == _W64_DATA:
            _require(path, n_bytes, size - offset - _W64_HEADER_BYTES)
            end_of_samples = offset + _W64_HEADER_BYTES + n_bytes
        offset += _W64_HEADER_BYTES + n_bytes
        offset += -(offset - start) % 8
        if offset > size:
            break
    return _end_of_file(path, size, end_of_samples, offset)


def _require(path: Path, stated: int, present: int) -> None:
    if present < stated:
        raise TruncatedError(
            f"{path}: truncated: {max(present, 0)} of {stated} bytes of samples are present; "
            "copy it again, or use a complete recording"
        )


def _end_of_file(path: Path, size: int, end_of_samples: int | None, end_of_chunks: int) -> int:
    if end_of_samples is None:
        raise BadInputError(f"{path}: holds no samples: it was cut off inside its header")
    if size - end_of_chunks > _REMNANT_BYTES:
        raise BadInputError(
            f"{path}: its header states {end_of_samples} bytes, but the file has {size}: "
            "the program that recorded it did not complete the header; repair it with ffmpeg"
        )
    return size
