"""FLAC files: RFC 9639.

The header states the number of samples, and libsndfile stops there. If more samples follow, the
file is decoded with a header that states no number. The numbers of the last frames show this. A
file may contain several recordings one after the other; libsndfile decodes only the first.
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
_TAIL_BYTES = 1 << 16
_SYNC = re.compile(rb"\xff[\xf8\xf9]")
"""The beginning of a frame (section 9.1); the last bit is the blocking strategy."""
_MOST_FRAME_HEADER_BYTES = 16


def flac_recordings(descriptor: int, path: Path) -> list[Recording]:
    """The recordings of a FLAC file in their order, at least one.

    Raises ``BadInputError`` where the file ends inside its header.
    """
    file_bytes = os.fstat(descriptor).st_size
    starts = _starts(descriptor, file_bytes)
    if not starts:
        raise BadInputError(f"{path}: a FLAC file without its header")
    recordings = []
    for start, end_with_tags in zip(starts, [*starts[1:], file_bytes], strict=True):
        end = _without_tags(descriptor, end_with_tags)
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
        if total and _has_frame_from(descriptor, start, end, bytes(info), total):
            recordings.append(Recording(parts, None))
        elif start == 0 and end == file_bytes:
            whole = (Range(0, end),)
            recordings.append(Recording(whole, total or None, without_length=parts))
        else:
            recordings.append(Recording(parts, total or None))
    return recordings


def _without_tags(descriptor: int, end: int) -> int:
    """Where the sound that ends here ends without its ID3v1 tags."""
    while end >= _ID3_BYTES and os.pread(descriptor, 3, end - _ID3_BYTES) == b"TAG":
        end -= _ID3_BYTES
    return end


def _has_frame_from(descriptor: int, start: int, end: int, info: bytes, sample: int) -> bool:
    """Whether one of the last frames begins at this sample or later."""
    block_samples = int.from_bytes(info[2:4], "big")
    tail_start = max(start, end - _TAIL_BYTES)
    tail = os.pread(descriptor, end - tail_start, tail_start)
    for match in _SYNC.finditer(tail):
        header = tail[match.start() : match.start() + _MOST_FRAME_HEADER_BYTES]
        number = _frame_number(header)
        if number is not None and number * (1 if header[1] & 1 else block_samples) >= sample:
            return True
    return False


def _frame_number(header: bytes) -> int | None:
    """The number in a frame's header (section 9.1.5), None if this is no header.

    It counts frames, or with a variable block size samples.
    """
    if len(header) < _MOST_FRAME_HEADER_BYTES or header[3] & 1:
        return None
    ones = next((n for n in range(8) if not header[4] & 0x80 >> n), 8)
    if ones in {1, 8}:
        return None
    n_bytes = max(1, ones)
    number = header[4] & 0x7F >> ones
    for byte in header[5 : 4 + n_bytes]:
        if byte & 0xC0 != 0x80:
            return None
        number = number << 6 | byte & 0x3F
    block_code, rate_code = header[2] >> 4, header[2] & 15
    extra = {6: 1, 7: 2}.get(block_code, 0) + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    checked = 4 + n_bytes + extra
    if not block_code or rate_code == 15 or _crc8(header[:checked]) != header[checked]:
        return None
    return number


def _crc8(data: bytes) -> int:
    """CRC-8 with the polynomial x^8 + x^2 + x + 1 (section 9.1.8)."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ (0x107 if value & 0x80 else 0)) & 0x1FF
    return value


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
