"""FLAC files: RFC 9639.

The header states the number of samples, and libsndfile stops there. If more
samples follow, the file is decoded with a header that states no number. A file may contain several
recordings one after the other; libsndfile decodes only the first.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from monitor.audio.containers.parts import Range, Recording
from monitor.errors import BadInputError, TruncatedError

MAGIC = b"fLaC"
_BEGIN = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
"""The marker and the header of the STREAMINFO block, which always comes first (section 8.2)."""
_BEGIN_BYTES = 8
_STREAMINFO_BYTES = 34
_TOTAL = slice(13, 18)
"""Where STREAMINFO has the total of samples: the low 36 bits of these bytes."""
_PIECE_BYTES = 1 << 20
_ID3_BYTES = 128
"""An ID3v1 tag, which some programs put at the end."""


def flac_recordings(descriptor: int, path: Path) -> list[Recording]:
    """The recordings of a FLAC file in their order, at least one.

    Raises ``BadInputError`` where the file ends inside its header.
    """
    size = file_bytes = os.fstat(descriptor).st_size
    if os.pread(descriptor, 3, max(0, size - _ID3_BYTES)) == b"TAG":
        size -= _ID3_BYTES
    starts = _starts(descriptor, size)
    if not starts:
        raise BadInputError(f"{path}: a FLAC file without its header")
    recordings = []
    for start, end in zip(starts, [*starts[1:], size], strict=True):
        info_start = start + _BEGIN_BYTES
        info = bytearray(os.pread(descriptor, _STREAMINFO_BYTES, info_start))
        if len(info) < _STREAMINFO_BYTES:
            raise TruncatedError(f"{path}: truncated inside its header")
        total = int.from_bytes(info[_TOTAL], "big") & 0xF_FFFF_FFFF
        info[_TOTAL] = bytes([info[13] & 0xF0, 0, 0, 0, 0])
        parts = (
            Range(start, info_start),
            bytes(info),
            Range(info_start + _STREAMINFO_BYTES, end),
        )
        if start == 0 and end == file_bytes:
            whole = (Range(0, end),)
            recordings.append(Recording(whole, total or None, without_length=parts))
        else:
            recordings.append(Recording(parts, total or None))
    return recordings


def _starts(descriptor: int, size: int) -> list[int]:
    """Where recordings begin."""
    starts: list[int] = []
    offset, before = 0, b""
    while offset < size:
        piece = os.pread(descriptor, _PIECE_BYTES, offset)
        if not piece:
            break
        base = offset - len(before)
        text = before + piece
        starts += [base + match.start() for match in _BEGIN.finditer(text)]
        before = text[-(_BEGIN_BYTES - 1) :]
        offset += len(piece)
    return starts
