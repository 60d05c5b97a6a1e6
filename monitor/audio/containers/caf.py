"""CAF files (Apple Core Audio Format 1.0): chunks, the one with the samples usually last.

libsndfile and ffmpeg read the samples that are there and do not report what is missing.
"""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from pathlib import Path

from monitor.audio.containers.parts import ForFfmpeg, Range, Recording
from monitor.errors import BadInputError, TruncatedError

CAF_MAGIC = b"caff"
_FILE_HEADER_BYTES, _CHUNK_HEADER_BYTES, _EDIT_COUNT_BYTES = 8, 12, 4
_MOST_CHUNKS = 1000
_REMNANT_BYTES = 4096
_TO_THE_END = -1
"""The stated length while a file is being written, and of a file that was written to a pipe."""
_BY_LIBSNDFILE = frozenset({b"lpcm", b"alaw", b"ulaw"})
"""Encodings in which every frame has the same number of bytes."""


def caf_recordings(descriptor: int, path: Path) -> list[Recording] | ForFfmpeg:
    """The recording of a CAF file, or that ffmpeg decodes its encoding.

    Raises ``BadInputError`` where samples are missing, or where another file follows.
    """
    size = os.fstat(descriptor).st_size
    offset = _FILE_HEADER_BYTES
    description, samples_bytes, open_at = b"", None, 0
    for _ in range(_MOST_CHUNKS):
        head = os.pread(descriptor, _CHUNK_HEADER_BYTES, offset)
        if head.startswith(CAF_MAGIC):
            raise BadInputError(
                f"{path}: several recordings in one file; only the first could be decoded. "
                "Use one file for each"
            )
        if len(head) < _CHUNK_HEADER_BYTES:
            break
        name, n_bytes = struct.unpack(">4sq", head)
        present = size - offset - _CHUNK_HEADER_BYTES
        if name == b"data":
            if n_bytes == _TO_THE_END:
                n_bytes, open_at = present, offset + 4
            _require(path, n_bytes, present)
            samples_bytes = n_bytes - _EDIT_COUNT_BYTES
        elif samples_bytes is not None and not 0 <= n_bytes <= present:
            break
        elif name == b"desc":
            description = os.pread(descriptor, 32, offset + _CHUNK_HEADER_BYTES)
        if n_bytes < 0:
            break
        offset += _CHUNK_HEADER_BYTES + n_bytes
    if samples_bytes is None or len(description) < 32:
        raise TruncatedError(f"{path}: contains no samples: it was cut off inside its header")
    if size - offset > _REMNANT_BYTES:
        raise BadInputError(
            f"{path}: {size - offset} bytes follow the samples that its header states: the "
            "program that recorded it did not complete the header, or the file is damaged"
        )
    recording = _recording(description, samples_bytes, size)
    if recording is None:
        return ForFfmpeg()
    if open_at:  # libsndfile needs a length
        length = struct.pack(">q", samples_bytes + _EDIT_COUNT_BYTES)
        return [replace(recording, parts=(Range(0, open_at), length, Range(open_at + 8, size)))]
    return [recording]


def _require(path: Path, stated: int, present: int) -> None:
    if present < stated:
        raise TruncatedError(
            f"{path}: truncated: {present} of {stated} bytes of samples are present; "
            "copy it again, or use a complete recording"
        )


def _recording(description: bytes, samples_bytes: int, size: int) -> Recording | None:
    """The whole file as a recording; None where libsndfile does not know the encoding."""
    encoding, _, packet_bytes = struct.unpack(">4sII", description[8:20])
    if encoding not in _BY_LIBSNDFILE:
        return None
    return Recording((Range(0, size),), samples_bytes // packet_bytes if packet_bytes else None)
