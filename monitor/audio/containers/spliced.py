"""A file put together from parts of another one and from bytes of our own."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Range:
    """The bytes ``[start, end)`` of the file on the disk."""

    start: int
    end: int


Part = bytes | Range


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording inside a file: the bytes to decode, and how much sound they hold.

    ``n_frames``: samples a channel, None where only decoding can show it.
    ``tolerance``: by how many of them a decoder may differ (delay and padding of a codec).
    ``frame_bytes``: bytes of a sample of all channels, where the last part is nothing but these.
    """

    parts: tuple[Part, ...]
    n_frames: int | None = None
    tolerance: int = 0
    frame_bytes: int = 0

    def skipping(self, n_frames: int) -> tuple[Recording, int]:
        """The rest after ``n_frames``, and how many of these a decoder still has to skip."""
        last = self.parts[-1]
        if not self.frame_bytes or not isinstance(last, Range) or self.n_frames is None:
            return self, n_frames
        skipped = min(n_frames, self.n_frames)
        rest = Range(last.start + skipped * self.frame_bytes, last.end)
        left = self.n_frames - skipped
        return replace(self, parts=(*self.parts[:-1], rest), n_frames=left), n_frames - skipped


class SplicedFile(io.RawIOBase):
    """Read-only view of ``parts``, one after the other. ``descriptor`` stays open and in place."""

    def __init__(self, descriptor: int, parts: Sequence[Part]) -> None:
        self._descriptor = descriptor
        self._parts = [part for part in parts if _length(part)]
        self._starts = [0]
        for part in self._parts:
            self._starts.append(self._starts[-1] + _length(part))
        self._position = 0

    @property
    def size(self) -> int:
        """Bytes of all parts together."""
        return self._starts[-1]

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, which may lie beyond the end. Returns it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` as far as there are bytes. Returns how many were written."""
        view = memoryview(buffer).cast("B")
        n_read = 0
        while n_read < len(view) and self._position < self.size:
            index = bisect_right(self._starts, self._position) - 1
            part, offset = self._parts[index], self._position - self._starts[index]
            wanted = min(len(view) - n_read, _length(part) - offset)
            if isinstance(part, Range):
                piece = os.pread(self._descriptor, wanted, part.start + offset)
            else:
                piece = part[offset : offset + wanted]
            if not piece:
                break  # the file has become shorter since it was looked at
            view[n_read : n_read + len(piece)] = piece
            n_read += len(piece)
            self._position += len(piece)
        return n_read


def _length(part: Part) -> int:
    return part.end - part.start if isinstance(part, Range) else len(part)
