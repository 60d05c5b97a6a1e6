"""Tags that programs put around and between the frames of MP3 and AAC: ID3 and APE."""

from __future__ import annotations

import struct

ID3_HEADER_BYTES = 10
MOST_HEADER_BYTES = 32
_ID3V1_BYTES = 128


def tag_bytes(head: bytes) -> int:
    """The length of the tag that begins with these ``MOST_HEADER_BYTES``, 0 if there is none."""
    if head[:3] == b"ID3" and len(head) >= ID3_HEADER_BYTES:
        footer = ID3_HEADER_BYTES if head[5] & 0x10 else 0
        length = sum((head[6 + i] & 0x7F) << (7 * (3 - i)) for i in range(4))
        return ID3_HEADER_BYTES + footer + length
    if head[:3] == b"TAG":
        return _ID3V1_BYTES
    if head[:8] == b"APETAGEX" and len(head) == MOST_HEADER_BYTES:
        n_bytes, flags = struct.unpack("<I4xI", head[12:24])
        is_header = bool(flags & 0x2000_0000)
        return int(n_bytes) + 32 if is_header else 32
    return 0
