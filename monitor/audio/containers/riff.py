"""WAV files: RIFF and RF64 (EBU Tech 3306), in which BWF and EXTENSIBLE are kinds of WAV.

The header states how many bytes of samples follow. This number is 0 or too small if the recorder
was killed, and the largest possible one if the recorder wrote to a pipe. Therefore all chunks are
read, from the first one to the end of the file.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from monitor.audio.containers.parts import Range, Recording
from monitor.audio.containers.riff_faults import no_chunk, without_format, without_samples
from monitor.audio.containers.riff_wave import Wave, recording_of
from monitor.errors import BadInputError, TruncatedError

RIFF_MAGIC = frozenset({b"RIFF", b"RF64", b"BW64", b"RIFX"})
"""RIFX is RIFF with the most significant byte first. BW64 (ITU-R BS.2088) is RF64."""
_MOST_CHUNKS = 1000
_OPEN_ENDED = (range(0x7FFF_0000, 0x8000_1000), range(0xFFFF_0000, 0x1_0000_0000))
"""Programs that write to a pipe do not know the length and write about 2 or 4 GiB."""
_LARGEST_CHUNK_COPIED = 1 << 16
_COMMON_CHUNKS = frozenset({b"fmt ", b"data", b"fact", b"LIST", b"bext", b"JUNK", b"PEAK", b"cue "})
_REMNANT_BYTES = 4096
"""So few bytes after the last chunk are not sound."""


def riff_recordings(descriptor: int, path: Path, *, growing: bool = False) -> list[Recording]:
    """The recordings of a WAV file: one, or several that were joined.

    ``growing``: the file is still being written, so samples beyond the stated length are
    expected. Raises ``BadInputError`` where samples are missing, or where the header states
    fewer than there are.
    """
    size = os.fstat(descriptor).st_size
    recordings: list[Recording] = []
    offset = 0
    while offset < size:
        wave, offset = _walk(descriptor, path, offset, size, growing=growing)
        is_alone = offset >= size and not recordings
        recordings.append(recording_of(path, wave, size, alone=is_alone))
    return recordings


def broadcast_extension(descriptor: int, path: Path) -> bytes:
    """The beginning of the ``bext`` chunk (EBU Tech 3285), empty if there is none.

    Raises ``BadInputError`` for a WAV file whose chunks cannot be read, and ``OSError``.
    """
    head = os.pread(descriptor, 4, 0)
    if head not in RIFF_MAGIC or not _is_wave(descriptor, 0):
        return b""
    wave, _ = _walk(descriptor, path, 0, os.fstat(descriptor).st_size, growing=True)
    return wave.broadcast


def _walk(descriptor: int, path: Path, start: int, size: int, *, growing: bool) -> tuple[Wave, int]:
    """The RIFF file at ``start``, and where the next one begins or the file ends."""
    magic = os.pread(descriptor, 4, start)
    wave, offset = Wave(">" if magic == b"RIFX" else "<"), start + 12
    wave.is_plain = magic != b"BW64"  # libsndfile reads the other names only
    names: list[bytes] = []
    for _ in range(_MOST_CHUNKS):
        head = os.pread(descriptor, 8, offset)
        if wave.data is not None and head[:4] in RIFF_MAGIC and _is_wave(descriptor, offset):
            return wave, offset
        if len(head) < 8:
            if wave.data is None:
                raise without_samples(path, names, offset, size)
            return wave, size
        name, n_bytes = head[:4], struct.unpack(f"{wave.order}I", head[4:])[0]
        if wave.data is not None and not _is_chunk(name, n_bytes, size - offset - 8):
            return _end_of_samples(path, wave, offset, size, growing=growing)
        if wave.data is None and not _is_name(name):
            raise no_chunk(path, offset)
        if name == b"data":
            if wave.data is not None:
                raise BadInputError(f"{path}: a WAV file with two data chunks cannot be read")
            if len(wave.format) < 16:
                raise without_format(path, names, len(wave.format))
            n_bytes = _data(path, wave, offset + 8, n_bytes, size, growing=growing)
        elif name == b"bext":
            wave.broadcast = os.pread(descriptor, min(n_bytes, _LARGEST_CHUNK_COPIED), offset + 8)
        elif wave.data is None:
            _note(descriptor, path, wave, name, offset=offset + 8, n_bytes=n_bytes)
        names.append(name)
        offset = _next_chunk(descriptor, wave, offset + 8 + n_bytes, n_bytes % 2)
    raise BadInputError(f"{path}: more than {_MOST_CHUNKS} chunks: not a WAV file")


def _note(
    descriptor: int, path: Path, wave: Wave, name: bytes, *, offset: int, n_bytes: int
) -> None:
    """Keep a chunk before the samples, if it describes them."""
    if name == b"LIST" and os.pread(descriptor, 4, offset) == b"wavl":
        raise BadInputError(f"{path}: a WAV file with a list of sounds (wavl) cannot be read")
    if name not in {b"fmt ", b"fact", b"ds64"}:
        return
    if n_bytes > _LARGEST_CHUNK_COPIED:
        raise BadInputError(f"{path}: its {name.decode().strip()} chunk is too long")
    body = os.pread(descriptor, n_bytes, offset)
    if name == b"fmt ":
        wave.format = body
    elif name == b"fact":
        wave.fact = body
    else:
        wave.long_sizes = body


def _data(path: Path, wave: Wave, begin: int, n_bytes: int, size: int, *, growing: bool) -> int:
    """Store where the samples are. Returns their number of bytes."""
    present = max(0, size - begin)
    stated = n_bytes
    if n_bytes == 0xFFFF_FFFF and len(wave.long_sizes) >= 16:
        stated = struct.unpack("<QQ", wave.long_sizes[:16])[1]
    if stated == 0 and present > 1 and not growing:
        raise BadInputError(
            f"{path}: its header is incomplete: it is still being written, "
            "or the program that recorded it was killed"
        )
    is_open = any(stated in lengths for lengths in _OPEN_ENDED) and stated > present
    if is_open or (growing and (stated == 0 or stated > present)):
        wave.is_plain = False
        wave.data = Range(begin, size)
    elif present < stated:
        # One byte of padding may be missing at the end of a file, but not of the samples.
        raise TruncatedError(
            f"{path}: truncated: {_missing(wave, present, stated)}; copy it again, or use a "
            "complete recording"
        )
    else:
        wave.data = Range(begin, begin + stated)
    wave.stated_bytes = stated
    return wave.data.end - wave.data.start


def _missing(wave: Wave, present: int, stated: int) -> str:
    """How much of the samples is there: in seconds where the format gives the rate."""
    rate = wave.bytes_per_s
    if not rate:
        return f"{present} of {stated} bytes of samples are present"
    return f"{present / rate:.1f} of {stated / rate:.1f} s are present"


def _next_chunk(descriptor: int, wave: Wave, offset: int, odd: int) -> int:
    """Where the next chunk begins. Lengths are even, but some programs omit the pad byte."""
    if not odd:
        return offset
    padded, bare = (os.pread(descriptor, 4, offset + pad) for pad in (1, 0))
    if bare in _COMMON_CHUNKS or (_is_name(bare) and not _is_name(padded)):
        wave.is_plain = False
        return offset
    return offset + 1


def _end_of_samples(
    path: Path, wave: Wave, offset: int, size: int, *, growing: bool
) -> tuple[Wave, int]:
    """Handle bytes after the stated samples that are no chunk: a few bytes to ignore, or sound."""
    if growing and wave.data is not None:
        wave.is_plain = False
        wave.data = Range(wave.data.start, size)
    if wave.data is None or growing or size - offset <= _REMNANT_BYTES:
        return wave, size
    rate = wave.bytes_per_s or 1
    stated_s, there_s = (n / rate for n in (wave.stated_bytes, size - wave.data.start))
    raise BadInputError(
        f"{path}: its header states {stated_s:.1f} s of sound, but the file has {there_s:.1f} s: "
        "the program that recorded it did not complete the header. Is it still being written? "
        f"Otherwise repair it: ffmpeg -ignore_length 1 -i {path.name} repaired.wav"
    )


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)


def _is_chunk(name: bytes, n_bytes: int, present: int) -> bool:
    """Whether a chunk can begin so, with ``present`` bytes behind its header."""
    return _is_name(name) and n_bytes <= present + 1


def _is_wave(descriptor: int, offset: int) -> bool:
    return os.pread(descriptor, 4, offset + 8) == b"WAVE"
