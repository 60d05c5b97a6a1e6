"""AAC (ADTS, ISO/IEC 13818-7) and AMR (RFC 4867, section 5) files: frame after frame.

These files do not state their length. The frames are counted here, so that a frame that is cut
off and sound that ffmpeg leaves out are noticed.
"""

from __future__ import annotations

from pathlib import Path

from monitor.audio.containers.parts import ForFfmpeg
from monitor.audio.containers.tags import MOST_HEADER_BYTES, tag_bytes
from monitor.audio.containers.walking import ReadAhead, joined, no_frame
from monitor.errors import BadInputError, TruncatedError

AMR_MAGIC = b"#!AMR"
_AMR_BEGINNINGS = {
    b"#!AMR\n": (13, 14, 16, 18, 20, 21, 27, 32, 6, 1, 1, 1, 1, 1, 1, 1),
    b"#!AMR-WB\n": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1),
}
"""The bytes of a frame by its type, with the byte that states the type."""
_AMR_FRAME_S = 0.02
_ADTS_HEADER_BYTES = 7
_ADTS_RATES_HZ = (
    *(96000, 88200, 64000, 48000, 44100, 32000, 24000),
    *(22050, 16000, 12000, 11025, 8000, 7350),
)
_ADTS_BLOCK_SAMPLES = 1024


def is_adts(head: bytes) -> bool:
    """Whether a frame of AAC begins so."""
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0


def adts_for_ffmpeg(descriptor: int, path: Path) -> ForFfmpeg:
    """The length of an AAC file, with or without tags.

    Raises ``BadInputError`` where a frame is cut off or something else lies between frames.
    """
    read = ReadAhead(descriptor)
    offset, seconds, coded_bytes = 0, 0.0, 0
    while offset < read.size:
        if tag := tag_bytes(read.at(offset, MOST_HEADER_BYTES)):
            offset += tag
            continue
        head = read.at(offset, _ADTS_HEADER_BYTES)
        if len(head) < _ADTS_HEADER_BYTES and head.startswith(b"\xff"):
            _require_whole(path, offset + _ADTS_HEADER_BYTES, read.size)
        if len(head) < _ADTS_HEADER_BYTES or not is_adts(head):
            if not seconds or not read.is_padding(offset):
                raise no_frame(path, "AAC", offset, read.size)
            break
        rate_index = head[2] >> 2 & 15
        n_bytes = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        if rate_index >= len(_ADTS_RATES_HZ) or n_bytes < _ADTS_HEADER_BYTES:
            raise no_frame(path, "AAC", offset, read.size)
        n_samples = _ADTS_BLOCK_SAMPLES * (1 + (head[6] & 3))
        seconds += n_samples / _ADTS_RATES_HZ[rate_index]
        offset += n_bytes
        coded_bytes += n_bytes
        _require_whole(path, offset, read.size)
    return ForFfmpeg(seconds, coded_bytes)


def amr_for_ffmpeg(descriptor: int, path: Path) -> ForFfmpeg:
    """The length of an AMR file.

    Raises ``BadInputError`` where a frame is cut off, and for several recordings in one file.
    """
    read = ReadAhead(descriptor)
    beginning = read.at(0, 16).partition(b"\n")[0] + b"\n"
    if beginning not in _AMR_BEGINNINGS:
        raise BadInputError(f"{path}: AMR with several channels cannot be read; convert it to wav")
    sizes = _AMR_BEGINNINGS[beginning]
    offset, n_frames = len(beginning), 0
    while offset < read.size:
        if read.at(offset, len(AMR_MAGIC)) == AMR_MAGIC:
            raise joined(path, "several")
        head = read.at(offset, 1)[0]
        if head & 0x83:  # these bits are always zero
            raise no_frame(path, "AMR", offset, read.size)
        offset += sizes[head >> 3 & 15]
        n_frames += 1
        _require_whole(path, offset, read.size)
    return ForFfmpeg(n_frames * _AMR_FRAME_S)


def _require_whole(path: Path, end: int, size: int) -> None:
    if end > size:
        raise TruncatedError(
            f"{path}: truncated: its last frame is cut off; "
            "copy it again, or use a complete recording"
        )
