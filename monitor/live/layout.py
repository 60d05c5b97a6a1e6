"""The file of a ring of columns: its header, and where each column is.

A column is the mean of some log-mel frames, as bytes: ``n_mels`` of the log-mel, ``n_mels`` of the
reconstruction and ``n_mels`` of the residual, the lowest band first. Then come the level, the
ratio, flags, and the number of the column. There are at most eight columns a second: speech cannot
be rebuilt from them.

The header states how many columns were written. It is written after the column. A reader compares
the number in a column, which may just be replaced.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

MAGIC = b"AULIVE01"
CLIPPING, QUIET, SCORED, HAS_RECONSTRUCTION = 1, 2, 4, 8
"""Flags of a column. ``SCORED``: the sound can be judged."""
MOST_MELS = 1024
MOST_COLUMNS = 4096

_HEADER = struct.Struct("<8s2I5f32s")
_WRITTEN_AT = 72
_WRITTEN = struct.Struct("<Q")
_MEL_AT = _WRITTEN_AT + _WRITTEN.size
_TAIL = struct.Struct("<2fB3xI")


@dataclass(frozen=True, slots=True)
class Layout:
    """The header without what changes.

    ``column_hz``: columns a second. In log-mel and reconstruction, 0 is ``low_db`` and 255 is
    ``high_db``. In the residual, 128 is 0 dB, 1 is ``-residual_db`` and 255 is ``residual_db``.
    ``mel_hz``: the centre of each band. ``bundle_sha256``: empty without a bundle.
    """

    n_columns: int
    column_hz: float
    sample_rate_hz: float
    low_db: float
    high_db: float
    residual_db: float
    mel_hz: tuple[float, ...]
    bundle_sha256: str = ""

    @property
    def n_mels(self) -> int:
        """The number of bands."""
        return len(self.mel_hz)

    @property
    def column_bytes(self) -> int:
        """The size of a column."""
        return 3 * self.n_mels + _TAIL.size

    @property
    def first_column_at(self) -> int:
        """Where the columns begin."""
        return _MEL_AT + 4 * self.n_mels

    @property
    def file_bytes(self) -> int:
        """The size of the file."""
        return self.first_column_at + self.n_columns * self.column_bytes

    def column_at(self, number: int) -> int:
        """Where a column is, counted from 0 since the file was made."""
        return self.first_column_at + number % self.n_columns * self.column_bytes

    def encode(self) -> bytes:
        """The beginning of the file, with no columns written."""
        header = _HEADER.pack(
            MAGIC,
            self.n_mels,
            self.n_columns,
            self.column_hz,
            self.sample_rate_hz,
            self.low_db,
            self.high_db,
            self.residual_db,
            bytes.fromhex(self.bundle_sha256)[:32],
        )
        mel = struct.pack(f"<{self.n_mels}f", *self.mel_hz)
        return header.ljust(_WRITTEN_AT, b"\0") + _WRITTEN.pack(0) + mel

    @classmethod
    def decode(cls, content: memoryview) -> Layout:
        """The header of a file. Raises ``ValueError`` if it is no ring, or not a whole one."""
        if len(content) < _MEL_AT:
            raise ValueError("too short for a ring")
        magic, n_mels, n_columns, *numbers, sha256 = _HEADER.unpack_from(content)
        if magic != MAGIC or not 0 < n_mels <= MOST_MELS or not 0 < n_columns <= MOST_COLUMNS:
            raise ValueError("not a ring of this version")
        if len(content) < _MEL_AT + 4 * n_mels:
            raise ValueError("too short for its bands")
        mel_hz = struct.unpack_from(f"<{n_mels}f", content, _MEL_AT)
        if not all(map(math.isfinite, (*numbers, *mel_hz))) or not 0.0 < numbers[0] <= 1000.0:
            raise ValueError("a number in the header is not possible")
        column_hz, sample_rate_hz, low_db, high_db, residual_db = numbers
        layout = cls(
            *(n_columns, column_hz, sample_rate_hz, low_db, high_db, residual_db),
            mel_hz=mel_hz,
            bundle_sha256=sha256.hex() if any(sha256) else "",
        )
        if len(content) < layout.file_bytes:
            raise ValueError("too short for its columns")
        return layout


def read_written(content: memoryview) -> int:
    """How many columns were written."""
    return int(_WRITTEN.unpack_from(content, _WRITTEN_AT)[0])


def written_bytes(number: int) -> tuple[int, bytes]:
    """Position and content of the number of columns."""
    return _WRITTEN_AT, _WRITTEN.pack(number)


def pack_tail(level_dbfs: float | None, ratio: float | None, flags: int, number: int) -> bytes:
    """What follows the pictures of a column."""
    return _TAIL.pack(
        math.nan if level_dbfs is None else level_dbfs,
        math.nan if ratio is None else ratio,
        flags,
        number & 0xFFFF_FFFF,
    )


def unpack_tail(
    content: memoryview, at: int, n_mels: int
) -> tuple[float | None, float | None, int, int]:
    """Level, ratio, flags and number of the column that begins at ``at``."""
    level_dbfs, ratio, flags, number = _TAIL.unpack_from(content, at + 3 * n_mels)
    return (
        level_dbfs if math.isfinite(level_dbfs) else None,
        ratio if math.isfinite(ratio) else None,
        flags,
        number,
    )
