"""Ogg files (Vorbis, Opus, FLAC, Speex): RFC 3533.

A file may hold several recordings one after the other (chaining, RFC 3533, section 4); libsndfile
decodes only the first. Each recording ends with a page that has the end-of-stream flag.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from monitor.audio.containers.parts import ForFfmpeg, Range, Recording
from monitor.audio.containers.walking import ReadAhead, joined
from monitor.errors import BadInputError, TruncatedError
from monitor.text.wording import counted

MAGIC = b"OggS"
_HEADER_BYTES = 27
_LONGEST_PAGE = _HEADER_BYTES + 255 + 255 * 255
_BEGIN, _END = 0x02, 0x04
_GRANULE = slice(6, 14)
_CHECKSUM = slice(22, 26)
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Every byte with its bits in the opposite order."""
_WITHOUT_SOUND = frozenset({bytes(8), b"\xff" * 8})


def ogg_recordings(descriptor: int, path: Path) -> list[Recording] | ForFfmpeg:
    """The recordings of an Ogg file in their order, at least one.

    FLAC and Speex in Ogg are for ffmpeg. Raises ``BadInputError`` where a page is damaged or
    missing.
    """
    read = ReadAhead(descriptor)
    size = read.size
    starts: list[int] = []
    coded_bytes: list[int] = []
    ended: set[int] = set()
    begun: set[int] = set()
    numbers: dict[int, int] = {}
    offset, beginning, last_sample = 0, False, 0
    while offset < size:
        header = read.at(offset, _HEADER_BYTES + 255)
        page_bytes = _page_bytes(header)
        if page_bytes is None or offset + page_bytes > size:
            if starts and size - offset < _LONGEST_PAGE and read.is_padding(offset):
                size = offset
                break
            raise _damaged(path, offset, size)
        _require_intact(path, read.at(offset, page_bytes), offset, size)
        flags, serial = header[5], int.from_bytes(header[14:18], "little")
        number = int.from_bytes(header[18:22], "little")
        if not flags & _BEGIN:
            _require_next(path, number, numbers.get(serial), offset, size)
        numbers[serial] = number
        if flags & _BEGIN:
            if not beginning:  # several streams side by side begin together
                _require_ended(path, begun - ended, len(starts))
                starts.append(offset)
                coded_bytes.append(0)
                begun, ended = set(), set()
            begun.add(serial)
        elif not starts:
            raise BadInputError(f"{path}: begins in the middle of an Ogg stream")
        if flags & _END:
            ended.add(serial)
            last_sample = int.from_bytes(header[_GRANULE], "little")
        # Pages without a position before the first one with sound hold tags and pictures.
        if coded_bytes[-1] or header[_GRANULE] not in _WITHOUT_SOUND:
            coded_bytes[-1] += page_bytes
        beginning = bool(flags & _BEGIN)
        offset += page_bytes
    _require_ended(path, begun - ended, len(starts))
    if rate_hz := _rate_for_ffmpeg(read.at(0, _LONGEST_PAGE)):
        if len(starts) > 1:
            raise joined(path, str(len(starts)))
        return ForFfmpeg(last_sample / rate_hz, coded_bytes[0])
    return [
        Recording((Range(start, end),), coded_bytes=n_bytes)
        for start, end, n_bytes in zip(starts, [*starts[1:], size], coded_bytes, strict=True)
    ]


def _rate_for_ffmpeg(page: bytes) -> int:
    """The sample rate of FLAC or Speex, 0 for what libsndfile decodes."""
    packet = page[_HEADER_BYTES + page[_HEADER_BYTES - 1] :]
    if packet.startswith(b"\x7fFLAC") and len(packet) >= 30:
        return int.from_bytes(packet[27:30], "big") >> 4
    if packet.startswith(b"Speex   ") and len(packet) >= 40:
        return int(struct.unpack("<I", packet[36:40])[0])
    return 0


def _require_next(path: Path, number: int, before: int | None, offset: int, size: int) -> None:
    if before is not None and number > before + 1:
        raise BadInputError(
            f"{path}: damaged: {counted(number - before - 1, 'Ogg page')} missing before byte "
            f"{offset} of {size}; copy it again, or use a complete recording"
        )


def _require_intact(path: Path, page: bytes, offset: int, size: int) -> None:
    """Compare the checksum of a page: CRC-32 without reflection (section 6, item 22).

    zlib computes the reflected CRC-32, so the bits of its input and output are reversed.
    """
    checked = page[: _CHECKSUM.start] + bytes(4) + page[_CHECKSUM.stop :]
    value = zlib.crc32(checked.translate(_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    if value.to_bytes(4, "big").translate(_REVERSED) != page[_CHECKSUM]:
        raise BadInputError(
            f"{path}: damaged: the Ogg page at byte {offset} of {size} has changed; "
            "copy it again, or use a complete recording"
        )


def _page_bytes(header: bytes) -> int | None:
    """The length of the page that begins here, None if there is no page."""
    if len(header) < _HEADER_BYTES or header[:5] != MAGIC + b"\0":
        return None
    n_segments = header[_HEADER_BYTES - 1]
    segments = header[_HEADER_BYTES : _HEADER_BYTES + n_segments]
    if len(segments) < n_segments:
        return None
    return _HEADER_BYTES + n_segments + sum(segments)


def _require_ended(path: Path, open_streams: set[int], n_recordings: int) -> None:
    if open_streams:
        which = f" (that of recording {n_recordings} in it)" if n_recordings > 1 else ""
        raise TruncatedError(
            f"{path}: truncated: its last page is missing{which}; copy it again, "
            "use a complete recording, or wait until it is written"
        )


def _damaged(path: Path, offset: int, size: int) -> BadInputError:
    if size - offset < _LONGEST_PAGE:
        return TruncatedError(
            f"{path}: truncated: its last page is missing; copy it again, "
            "use a complete recording, or wait until it is written"
        )
    return BadInputError(f"{path}: damaged: no Ogg page at byte {offset} of {size}")
