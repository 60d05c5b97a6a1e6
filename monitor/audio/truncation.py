"""Whether a WAV or Ogg file is complete.

libsndfile reads what is there and does not report what is missing. A WAV header states how many
bytes of samples follow. An Ogg file does not state its length, but its last page carries an
end-of-stream flag (RFC 3533, section 6).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from monitor.errors import BadInputError

_CAPTURE = b"OggS\0"
_HEADER_BYTES = 27
_LARGEST_PAGE_BYTES = _HEADER_BYTES + 255 + 255 * 255
_LAST_PAGE = 0x04


def check_ogg_is_whole(descriptor: int, path: Path) -> None:
    """Raise ``BadInputError`` for an Ogg file without its last page.

    ``descriptor`` is open for reading and is left where it was. Files of other
    formats pass.
    """
    if os.pread(descriptor, len(_CAPTURE), 0) != _CAPTURE:
        return
    size = os.fstat(descriptor).st_size
    end = os.pread(descriptor, 2 * _LARGEST_PAGE_BYTES, max(0, size - 2 * _LARGEST_PAGE_BYTES))
    if not _is_last_page(end[end.rfind(_CAPTURE) :]):
        raise BadInputError(
            f"{path}: truncated, its last page is missing; copy it again, use a complete "
            "recording, or wait until it is written"
        )


def _is_last_page(page: bytes) -> bool:
    """Whether ``page`` is complete and marked as the last of its stream."""
    if len(page) < _HEADER_BYTES or not page[5] & _LAST_PAGE:
        return False
    n_segments = page[_HEADER_BYTES - 1]
    segments = page[_HEADER_BYTES : _HEADER_BYTES + n_segments]
    return len(segments) == n_segments and len(page) >= _HEADER_BYTES + n_segments + sum(segments)


_MAX_CHUNKS = 1000
_OPEN_ENDED = 0x7FFF_0000
"""Programs that write to a pipe do not know the length and write this or more."""


def check_wav_is_whole(descriptor: int, path: Path) -> None:
    """Raise ``BadInputError`` for a RIFF or RF64 file whose samples are cut short.

    ``descriptor`` is open for reading and is left at the beginning. Files of other
    formats, and those whose header does not state the length, pass.
    """
    size = os.fstat(descriptor).st_size
    head = os.pread(descriptor, 12, 0)
    if head[:4] not in {b"RIFF", b"RF64"} or head[8:12] != b"WAVE":
        return
    offset, long_data_bytes = 12, None
    for _ in range(_MAX_CHUNKS):
        chunk = os.pread(descriptor, 8, offset)
        if len(chunk) < 8:
            break
        name, n_bytes = chunk[:4], struct.unpack("<I", chunk[4:])[0]
        if name == b"ds64":
            long_sizes = os.pread(descriptor, 16, offset + 8)
            if len(long_sizes) == 16:
                long_data_bytes = struct.unpack("<QQ", long_sizes)[1]
        if name == b"data":
            if n_bytes == 0xFFFF_FFFF and long_data_bytes is not None:
                n_bytes = long_data_bytes
            _check_data(path, n_bytes, size - offset - 8)
            return
        offset += 8 + n_bytes + n_bytes % 2
    raise BadInputError(f"{path}: a WAV file without samples, cut off inside its header")


def _check_data(path: Path, promised: int, present: int) -> None:
    if promised == 0 and present > 1:
        raise BadInputError(
            f"{path}: its header is incomplete: it is still being written, or the program "
            "that recorded it was killed"
        )
    # One byte of padding may be missing at the end of a file.
    if present < promised < _OPEN_ENDED or (promised > 0xFFFF_FFFF and present < promised):
        raise BadInputError(
            f"{path}: truncated, {max(present, 0)} of {promised} bytes of samples are present; "
            "copy it again, or use a complete recording"
        )
