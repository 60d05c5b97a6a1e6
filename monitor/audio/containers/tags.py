"""Tags that programs put around and between the frames of MP3 and AAC: ID3, APE and Lyrics3."""

from __future__ import annotations

import re
import struct

ID3_HEADER_BYTES = 10
MOST_HEADER_BYTES = 32
_ID3V1_BYTES = 128
_APE_FOOTER = re.compile(rb"APETAGEX(?:\xd0\x07|\xe8\x03)\0\0")
"""With its version, 2000 or 1000."""
_LYRICS_END = re.compile(rb"LYRICSEND|LYRICS200")


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


def tag_without_length(tail: bytes) -> int:
    """The length of a tag that states its length only at its end, 0 if ``tail`` begins with none.

    These are Lyrics3, which begins with its name, and an APE tag without a header. All APE tags of
    version 1 are of this kind.
    """
    if tail.startswith(b"LYRICSBEGIN"):
        end = _LYRICS_END.search(tail)
        return end.end() if end else 0
    for footer in _APE_FOOTER.finditer(tail):
        n_bytes = int.from_bytes(tail[footer.start() + 12 : footer.start() + 16], "little")
        if n_bytes == footer.start() + 32 and footer.start() + 32 <= len(tail):
            return n_bytes
    return 0
