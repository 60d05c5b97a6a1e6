"""MP4 (ISO/IEC 14496-12), Matroska (RFC 9559) and ASF (WMA): parts that state their length.

ffmpeg decodes these formats. It reads the first of several joined files only, and ends without an
error where some of them are cut off, so the lengths are compared with the file here.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from monitor.audio.containers.parts import ForFfmpeg
from monitor.audio.containers.walking import joined
from monitor.errors import BadInputError, TruncatedError

MATROSKA_MAGIC = b"\x1a\x45\xdf\xa3"
ASF_MAGIC = b"\x30\x26\xb2\x75"
_SEGMENT = b"\x18\x53\x80\x67"
_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_SIZE_AT, _ASF_FLAGS_AT, _BROADCAST = 40, 88, 1
_MOST_PROPERTIES_AT = 1 << 16
_REMNANT_BYTES = 4096


def mp4_for_ffmpeg(descriptor: int, path: Path) -> ForFfmpeg:
    """Check an MP4 file. Raises ``BadInputError`` if it was cut off or joined."""
    size = os.fstat(descriptor).st_size
    offset, n_types = 0, 0
    while offset + 8 <= size:
        head = os.pread(descriptor, 16, offset)
        n_bytes, name = struct.unpack(">I4s", head[:8])
        if n_bytes == 1 and len(head) == 16:
            n_bytes = struct.unpack(">Q", head[8:])[0]
        n_bytes = n_bytes or size - offset
        n_types += name == b"ftyp"
        offset += max(8, n_bytes)
    if n_types > 1:
        raise joined(path, str(n_types))
    if offset > size:
        raise _truncated(path)
    return ForFfmpeg()


def matroska_for_ffmpeg(descriptor: int, path: Path) -> ForFfmpeg:
    """Check a Matroska file. Raises ``BadInputError`` if it was cut off or joined.

    A file that was written to a pipe does not state its length.
    """
    size = os.fstat(descriptor).st_size
    _, _, segment_at = _element(descriptor, 0, size)
    name, begin, end = _element(descriptor, segment_at, size)
    if name != _SEGMENT or end > size or begin >= size:
        raise _truncated(path)
    if os.pread(descriptor, 4, end) == MATROSKA_MAGIC:
        raise joined(path, "2")
    if size - end > _REMNANT_BYTES:
        raise _more(path, end, size)
    return ForFfmpeg()


def _element(descriptor: int, offset: int, size: int) -> tuple[bytes, int, int]:
    """The name of an EBML element of four bytes, where its content begins, and its end."""
    head = os.pread(descriptor, 12, offset).ljust(12, b"\0")
    n_bytes = 9 - head[4].bit_length() if head[4] else 8
    value = int.from_bytes(head[4 : 4 + n_bytes], "big") & ((1 << 7 * n_bytes) - 1)
    begin = offset + 4 + n_bytes
    is_unknown = value == (1 << 7 * n_bytes) - 1
    return head[:4], begin, size if is_unknown else begin + value


def asf_for_ffmpeg(descriptor: int, path: Path) -> ForFfmpeg:
    """Check a WMA file. Raises ``BadInputError`` if it was cut off or joined."""
    size = os.fstat(descriptor).st_size
    header = os.pread(descriptor, _MOST_PROPERTIES_AT, 0)
    at = header.find(_FILE_PROPERTIES)
    if at < 0 or len(header) < at + _ASF_FLAGS_AT + 4:
        raise _truncated(path)
    (stated,) = struct.unpack("<Q", header[at + _ASF_SIZE_AT :][:8])
    (flags,) = struct.unpack("<I", header[at + _ASF_FLAGS_AT :][:4])
    if flags & _BROADCAST or not stated:
        return ForFfmpeg()
    if stated > size:
        raise _truncated(path)
    if os.pread(descriptor, 4, stated) == ASF_MAGIC:
        raise joined(path, "2")
    if size - stated > _REMNANT_BYTES:
        raise _more(path, stated, size)
    return ForFfmpeg()


def _truncated(path: Path) -> TruncatedError:
    return TruncatedError(
        f"{path}: truncated: its last part is cut off; copy it again, or use a complete recording"
    )


def _more(path: Path, stated: int, size: int) -> BadInputError:
    return BadInputError(
        f"{path}: its header states {stated} bytes, but the file has {size}: "
        "the program that recorded it did not complete the header; convert it to wav or flac"
    )
