"""Reads the ring of a machine while the daemon writes it. Without numpy."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path

from monitor.live.layout import Layout, read_written, unpack_tail
from monitor.text.regular_files import open_regular


@dataclass(frozen=True, slots=True)
class Columns:
    """New columns. ``pictures``: ``3 * n_mels`` bytes for each column.

    ``level_dbfs``, ``ratio`` and ``flags``: of the newest column; level and ratio are None if
    they are not known.
    """

    n_columns: int
    pictures: bytes
    level_dbfs: float | None
    ratio: float | None
    flags: int


class RingReader:
    """One ring, mapped into memory. The daemon replaces a file, and never makes it shorter.

    The constructor raises ``OSError`` or ``ValueError`` if the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        with os.fdopen(open_regular(path), "rb") as file:
            self._inode = os.fstat(file.fileno()).st_ino
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._path = path
        self._view = memoryview(self._map)
        try:
            self.layout = Layout.decode(self._view)
        except ValueError:
            self.close()
            raise
        self._next = max(0, read_written(self._view) - self.layout.n_columns // 2)

    def is_replaced(self) -> bool:
        """Whether another file has this name now, or none."""
        try:
            return self._path.stat().st_ino != self._inode
        except OSError:
            return True

    def take(self) -> Columns | None:
        """The columns since the last call; at first those that are there. None without any."""
        layout, view = self.layout, self._view
        written = read_written(view)
        first = max(self._next, written - layout.n_columns + 1)
        pictures = bytearray()
        newest: tuple[float | None, float | None, int] | None = None
        n_columns = 0
        for number in range(first, written):
            at = layout.column_at(number)
            picture = bytes(view[at : at + 3 * layout.n_mels])
            level_dbfs, ratio, flags, stored = unpack_tail(view, at, layout.n_mels)
            if stored != number & 0xFFFF_FFFF:
                continue
            pictures += picture
            newest = level_dbfs, ratio, flags
            n_columns += 1
        self._next = max(self._next, written)
        if newest is None:
            return None
        return Columns(n_columns, bytes(pictures), *newest)

    def close(self) -> None:
        """Unmap the file."""
        self._view.release()
        self._map.close()
