"""AIFF and Wave64: files whose chunks state the length of the samples.

libsndfile reads what is there and does not report what is missing, nor what follows the stated
length.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from monitor.audio.containers.parts import Range, Recording
from monitor.errors import BadInputError, TruncatedError

AIFF_MAGIC = b"FORM"
W64_MAGIC = b"riff"
_W64_DATA = b"data"
_W64_HEADER_BYTES = 24
_MOST_CHUNKS = 1000
_REMNANT_BYTES = 4096


def aiff_recordings(descriptor: int, path: Path) -> list[Recording]:
    """The recording of an AIFF or AIFF-C file (Apple, 1989 and 1991).

    Raises ``BadInputError`` where samples are missing or more follow than is stated.
    """
    size = os.fstat(descriptor).st_size
    offset, end_of_samples = 12, None
    for _ in range(_MOST_CHUNKS):
        head = os.pread(descriptor, 8, offset)
        if len(head) < 8:
            break
        name, n_bytes = head[:4], struct.unpack(">I", head[4:])[0]
        if end_of_samples is not None and not all(0x20 <= byte < 0x7F for byte in name):
            break
        if name == b"SSND":
            _require(path, n_bytes, size - offset - 8)
            end_of_samples = offset + 8 + n_bytes
        offset += 8 + n_bytes + n_bytes % 2
    return _whole(path, size, end_of_samples, offset)


def w64_recordings(descriptor: int, path: Path) -> list[Recording]:
    """The recording of a Wave64 file (Sonic Foundry).

    Raises ``BadInputError`` where samples are missing or more follow than is stated.
    """
    size = os.fstat(descriptor).st_size
    offset, end_of_samples = 40, None
    for _ in range(_MOST_CHUNKS):
        head = os.pread(descriptor, _W64_HEADER_BYTES, offset)
        if len(head) < _W64_HEADER_BYTES:
            break
        n_bytes = struct.unpack("<Q", head[16:])[0] - _W64_HEADER_BYTES
        if n_bytes < 0 or (end_of_samples is not None and offset + n_bytes > size):
            break
        if head[:4] == _W64_DATA:
            _require(path, n_bytes, size - offset - _W64_HEADER_BYTES)
            end_of_samples = offset + _W64_HEADER_BYTES + n_bytes
        offset += _W64_HEADER_BYTES + n_bytes
        offset += -offset % 8
        if offset > size:
            break
    return _whole(path, size, end_of_samples, offset)


def _require(path: Path, stated: int, present: int) -> None:
    if present < stated:
        raise TruncatedError(
            f"{path}: truncated: {max(present, 0)} of {stated} bytes of samples are present; "
            "copy it again, or use a complete recording"
        )


def _whole(
    path: Path, size: int, end_of_samples: int | None, end_of_chunks: int
) -> list[Recording]:
    if end_of_samples is None:
        raise BadInputError(f"{path}: holds no samples: it was cut off inside its header")
    if size - end_of_chunks > _REMNANT_BYTES:
        raise BadInputError(
            f"{path}: its header states {end_of_samples} bytes, but the file has {size}: "
            "the program that recorded it did not complete the header; repair it with ffmpeg"
        )
    return [Recording((Range(0, size),))]
