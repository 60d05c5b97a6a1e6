"""A file made from parts of another one and from bytes of our own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import IO

_MOST_IN_MEMORY = 1 << 26
_PIECE_BYTES = 1 << 20


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
    ``without_length``: the same bytes with a header that does not state a length, for a file
    that is longer than stated. ``frame_bytes``: bytes of a sample of all channels, where
    the last part contains only samples. ``coded_bytes``: bytes of encoded sound without tags and
    pictures, where they were counted.
    """

    parts: tuple[Part, ...]
    n_frames: int | None = None
    tolerance: int = 0
    frame_bytes: int = 0
    without_length: tuple[Part, ...] = ()
    coded_bytes: int = 0

    @property
    def n_bytes(self) -> int:
        """How many bytes hold the sound, as nearly as it is known."""
        return self.coded_bytes or sum(map(_length, self.parts))

    def skipping(self, n_frames: int) -> tuple[Recording, int]:
        """The rest after ``n_frames``, and how many of these a decoder still has to skip."""
        last = self.parts[-1]
        if not self.frame_bytes or not isinstance(last, Range) or self.n_frames is None:
            return self, n_frames
        skipped = min(n_frames, self.n_frames)
        rest = Range(last.start + skipped * self.frame_bytes, last.end)
        left = self.n_frames - skipped
        return replace(self, parts=(*self.parts[:-1], rest), n_frames=left), n_frames - skipped


@dataclass(frozen=True, slots=True)
class ForFfmpeg:
    """A file that ffmpeg decodes.

    ``seconds`` and ``coded_bytes``: of its sound, without tags, where they were counted.
    """

    seconds: float | None = None
    coded_bytes: int = 0


def joined_file(descriptor: int, parts: Sequence[Part]) -> IO[bytes]:
    """A file without a name that holds ``parts``, one after the other, at its beginning.

    Small ones are in memory. Decoding through Python's own reading functions would be possible
    without a copy, but needs executable memory, which a hardened service denies. Raises
    ``OSError`` where there is no space.
    """
    if sum(map(_length, parts)) <= _MOST_IN_MEMORY:
        file: IO[bytes] = os.fdopen(os.memfd_create("recording"), "w+b", buffering=0)
    else:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by the caller
    try:
        for part in parts:
            if isinstance(part, bytes):
                file.write(part)
            else:
                _copy(descriptor, part, file)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _copy(descriptor: int, part: Range, file: IO[bytes]) -> None:
    position = part.start
    while position < part.end:
        piece = os.pread(descriptor, min(_PIECE_BYTES, part.end - position), position)
        if not piece:
            return  # the file has become shorter since it was looked at
        file.write(piece)
        position += len(piece)


def _length(part: Part) -> int:
    return part.end - part.start if isinstance(part, Range) else len(part)
