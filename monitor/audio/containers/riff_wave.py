"""What the chunks of one WAV file state, and the bytes to decode: with a header that is right."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from monitor.audio.containers.parts import Part, Range, Recording
from monitor.errors import BadInputError
from monitor.text.wording import counted

_LARGEST_RIFF = 0xFFFF_0000
_EXTENSIBLE = 0xFFFE
_PCM_CODES = frozenset({1, 3, 6, 7, _EXTENSIBLE})
"""PCM, float, A-law, mu-law and EXTENSIBLE: every frame has the same number of bytes."""
_OTHER_CODES = frozenset({0x02, 0x11, 0x31})
"""Microsoft ADPCM, IMA ADPCM and GSM 6.10, which libsndfile decodes as well."""


@dataclass(slots=True)
class Wave:
    """One RIFF file inside the file: what its chunks state, and where its samples are.

    ``is_plain``: libsndfile reads the file as it is. ``stated_bytes``: of samples, by the header.
    ``long_sizes``: the ``ds64`` chunk. ``broadcast``: the beginning of the ``bext`` chunk.
    """

    order: str
    """``<`` or ``>``, as in ``struct``."""
    format: bytes = b""
    fact: bytes = b""
    data: Range | None = None
    stated_bytes: int = 0
    is_plain: bool = True
    long_sizes: bytes = b""
    broadcast: bytes = b""

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels, 0 where the format has no fixed number."""
        code, _, _, _, block = struct.unpack(f"{self.order}HHIIH", self.format[:14])
        return int(block) if code in _PCM_CODES else 0

    @property
    def bytes_per_s(self) -> int:
        """As stated, 0 where it is not."""
        (n_bytes,) = struct.unpack(f"{self.order}I", self.format[8:12])
        return int(n_bytes)


def recording_of(path: Path, wave: Wave, size: int, *, alone: bool) -> Recording:
    """The bytes to decode: the file as it is, or its samples with a header that is right.

    ``size``: of the file. ``alone``: whether it has no other recording. Raises ``BadInputError``
    for a format that is not read.
    """
    if wave.data is None:
        raise BadInputError(f"{path}: a WAV file without samples")
    _check_format(path, wave)
    n_bytes = wave.data.end - wave.data.start
    n_frames = n_bytes // wave.frame_bytes if wave.frame_bytes else None
    if n_frames is not None:
        n_bytes = n_frames * wave.frame_bytes  # the last one may not be written yet
    if alone and wave.is_plain:
        return Recording((Range(0, size),), n_frames)
    order = wave.order
    chunks = struct.pack(f"{order}4sI", b"fmt ", len(wave.format)) + _even(wave.format)
    if wave.fact and not wave.frame_bytes:
        chunks += struct.pack(f"{order}4sI", b"fact", len(wave.fact)) + _even(wave.fact)
    total = 4 + len(chunks) + 8 + n_bytes
    if total <= _LARGEST_RIFF:
        magic = b"RIFF" if order == "<" else b"RIFX"
        head = struct.pack(f"{order}4sI4s", magic, total, b"WAVE") + chunks
        head += struct.pack(f"{order}4sI", b"data", n_bytes)
    else:
        frames = n_frames or 0
        sizes = struct.pack("<4sIQQQI", b"ds64", 28, total + 36, n_bytes, frames, 0)
        head = struct.pack("<4sI4s", b"RF64", 0xFFFF_FFFF, b"WAVE") + sizes + chunks
        head += struct.pack("<4sI", b"data", 0xFFFF_FFFF)
    samples = Range(wave.data.start, wave.data.start + n_bytes)
    parts: tuple[Part, ...] = (head, samples)
    return Recording(parts, n_frames, frame_bytes=wave.frame_bytes)


def _check_format(path: Path, wave: Wave) -> None:
    """Refuse numbers and codecs that libsndfile refuses without a reason."""
    code, channels, rate_hz = struct.unpack(f"{wave.order}HHI", wave.format[:8])
    if code == _EXTENSIBLE and len(wave.format) >= 26:
        (code,) = struct.unpack(f"{wave.order}H", wave.format[24:26])
    if code not in _PCM_CODES | _OTHER_CODES:
        raise BadInputError(
            f"{path}: a WAV file with the codec 0x{code:04X}, which is not read. Convert it, for "
            f"example: ffmpeg -i {path.name} {path.stem}.flac"
        )
    if not channels or not 0 < rate_hz < 1 << 31:
        raise BadInputError(
            f"{path}: its header is damaged: it states {counted(channels, 'channel')} and "
            f"{rate_hz} Hz"
        )


def _even(body: bytes) -> bytes:
    return body + b"\0" * (len(body) % 2)
