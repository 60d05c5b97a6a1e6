"""What a walk from frame to frame through a file needs: its bytes, and errors with the place."""

from __future__ import annotations

import os
from pathlib import Path

from monitor.errors import BadInputError

_READ_AHEAD_BYTES = 1 << 18


class ReadAhead:
    """The bytes of an open file, read in larger pieces than they are asked for."""

    def __init__(self, descriptor: int) -> None:
        self.size = os.fstat(descriptor).st_size
        self._descriptor = descriptor
        self._window, self._start = b"", 0

    def at(self, offset: int, n_bytes: int) -> bytes:
        """``n_bytes`` from ``offset``, fewer at the end of the file."""
        inside = offset - self._start
        if inside < 0 or inside + n_bytes > len(self._window):
            n_read = max(n_bytes, _READ_AHEAD_BYTES)
            self._window = os.pread(self._descriptor, n_read, offset)
            self._start, inside = offset, 0
        return self._window[inside : inside + n_bytes]

    def is_padding(self, offset: int) -> bool:
        """Whether only zeros follow: some programs fill up a block."""
        return not self.at(offset, _READ_AHEAD_BYTES).strip(b"\0")


def no_frame(path: Path, name: str, offset: int, size: int) -> BadInputError:
    """There is something else where a frame of the format ``name`` must begin."""
    return BadInputError(
        f"{path}: damaged: no {name} frame at byte {offset} of {size}; "
        "copy it again, or use a complete recording"
    )


def joined(path: Path, number: str) -> BadInputError:
    """The file has several recordings, and a decoder would read only the first."""
    return BadInputError(
        f"{path}: {number} recordings in one file; only the first could be decoded. "
        "Use one file for each"
    )
