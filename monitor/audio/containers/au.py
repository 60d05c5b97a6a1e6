"""AU files (Sun and NeXT): a header of six numbers, then the samples.

The header states the number of bytes of samples, or that it is unknown. libsndfile reads the
bytes that exist. It reports neither missing bytes nor bytes after the stated length.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from monitor.audio.containers.parts import Range, Recording
from monitor.errors import BadInputError, TruncatedError

AU_MAGIC = {b".snd": ">", b"dns.": "<"}
"""The beginning, and the order of the bytes of the numbers after it."""
_HEADER_BYTES = 24
_UNKNOWN = 0xFFFF_FFFF
_REMNANT_BYTES = 4096
_SAMPLE_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}
"""By the encoding: mu-law, PCM of 8 to 32 bits, float, double, A-law."""


def au_recordings(descriptor: int, path: Path) -> list[Recording]:
    """The recordings of an AU file: one, or several that were joined.

    Raises ``BadInputError`` where samples are missing, or where the header states fewer than
    there are.
    """
    size = os.fstat(descriptor).st_size
    recordings: list[Recording] = []
    offset = 0
    while offset < size:
        recording, offset = _recording(descriptor, path, offset, size)
        recordings.append(recording)
    return recordings


def _recording(descriptor: int, path: Path, start: int, size: int) -> tuple[Recording, int]:
    """The recording at ``start``, and where the next one begins or the file ends."""
    head = os.pread(descriptor, _HEADER_BYTES, start)
    if len(head) < _HEADER_BYTES:
        raise TruncatedError(f"{path}: truncated inside its header")
    order = AU_MAGIC[head[:4]]
    header_bytes, stated, encoding, rate_hz, channels = struct.unpack(f"{order}5I", head[4:])
    present = size - start - header_bytes
    frame_bytes = _SAMPLE_BYTES.get(encoding, 0) * channels
    if stated == 0 and present > 1:
        raise BadInputError(
            f"{path}: its header is incomplete: it is still being written, "
            "or the program that recorded it was killed"
        )
    if stated == _UNKNOWN:
        stated = max(0, present)
    if stated > present:
        raise TruncatedError(
            f"{path}: truncated: {max(0, present)} of {stated} bytes of samples are present; "
            "copy it again, or use a complete recording"
        )
    end = start + header_bytes + stated
    n_frames = stated // frame_bytes if frame_bytes else None
    if os.pread(descriptor, 4, end) not in AU_MAGIC:
        if size - end > _REMNANT_BYTES:
            byte_s = (rate_hz * frame_bytes) or 1
            raise BadInputError(
                f"{path}: its header states {stated / byte_s:.1f} s of sound, but the file has "
                f"{present / byte_s:.1f} s: the program that recorded it did not complete the "
                "header. Is it still being written? Otherwise convert it with sox --ignore-length"
            )
        if start == 0:
            return Recording((Range(0, size),), n_frames), size
        return Recording(_alone(head, start, header_bytes, end), n_frames), size
    return Recording(_alone(head, start, header_bytes, end), n_frames), end


def _alone(head: bytes, start: int, header_bytes: int, end: int) -> tuple[bytes, Range]:
    """One of several recordings, with a header that states its length."""
    order = AU_MAGIC[head[:4]]
    samples = Range(start + header_bytes, end)
    sizes = struct.pack(f"{order}2I", _HEADER_BYTES, samples.end - samples.start)
    return head[:4] + sizes + head[12:], samples
