"""The output of the microphone's child process, decoded from pieces of any size."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_RECORD = struct.Struct("<BdI")
_LOST = 1


@dataclass(frozen=True, slots=True)
class CaptureHeader:
    """The device that was opened."""

    device: str
    sample_rate_hz: int
    channels: int


@dataclass(frozen=True, slots=True)
class CaptureRecord:
    """Samples (interleaved float32) that were read at the monotonic time ``read_s``."""

    lost: bool
    read_s: float
    samples: bytes


class CaptureDecoder:
    """Pieces of the child's output to its header and records."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._begun = False

    def push(self, data: bytes) -> Iterator[CaptureHeader | CaptureRecord]:
        """The header and records that ``data`` completes, in order."""
        self._buffer += data
        if not self._begun:
            line, newline, rest = bytes(self._buffer).partition(b"\n")
            if not newline:
                return
            header: dict[str, Any] = json.loads(line)
            self._buffer, self._begun = bytearray(rest), True
            yield CaptureHeader(**header)
        while len(self._buffer) >= _RECORD.size:
            flags, read_s, n_bytes = _RECORD.unpack_from(self._buffer)
            end = _RECORD.size + n_bytes
            if len(self._buffer) < end:
                return
            samples = bytes(self._buffer[_RECORD.size : end])
            del self._buffer[:end]
            yield CaptureRecord(bool(flags & _LOST), read_s, samples)
