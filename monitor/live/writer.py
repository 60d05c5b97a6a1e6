"""Writes a ring of columns."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from monitor.domain import FloatArray
from monitor.live.layout import (
    HAS_RECONSTRUCTION,
    Layout,
    pack_tail,
    written_bytes,
)

_ZERO = 128.0
_SCALE = 127.0


class RingWriter:
    """One file. It is written with ``pwrite``: on a full disk this is an error, not a signal.

    The constructor makes the file under its name, in place of an earlier one. Every method may
    raise ``OSError``.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self.layout = layout
        partial = path.with_name(path.name + ".part")
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(partial, flags, 0o600)
        try:
            os.posix_fallocate(self._file, 0, layout.file_bytes)
            os.pwrite(self._file, layout.encode(), 0)
            partial.replace(path)
        except OSError:
            os.close(self._file)
            partial.unlink(missing_ok=True)
            raise
        self._written = 0

    def write(
        self,
        log_mel_db: FloatArray,
        reconstruction_db: FloatArray | None,
        *,
        level_dbfs: float | None,
        ratio: float | None,
        flags: int,
    ) -> None:
        """Add columns. Shape of the pictures: ``(n_mels, n_columns)``."""
        layout = self.layout
        n_columns = log_mel_db.shape[1]
        pictures = np.zeros((n_columns, 3, layout.n_mels), dtype=np.uint8)
        pictures[:, 0] = self._bytes(log_mel_db)
        pictures[:, 2] = int(_ZERO)
        if reconstruction_db is not None:
            flags |= HAS_RECONSTRUCTION
            pictures[:, 1] = self._bytes(reconstruction_db)
            steps = (log_mel_db - reconstruction_db) * np.float32(_SCALE / layout.residual_db)
            pictures[:, 2] = _rounded(steps + np.float32(_ZERO), 1.0)
        for column in range(n_columns):
            content = pictures[column].tobytes()
            content += pack_tail(level_dbfs, ratio, flags, self._written)
            os.pwrite(self._file, content, layout.column_at(self._written))
            self._written += 1
        at, number = written_bytes(self._written)
        os.pwrite(self._file, number, at)

    def close(self) -> None:
        """Close and remove the file. A second call changes nothing."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                if self._path.stat().st_ino == os.fstat(self._file).st_ino:
                    self._path.unlink()
            os.close(self._file)
            self._file = -1

    def _bytes(self, values_db: FloatArray) -> npt.NDArray[np.uint8]:
        low_db, high_db = self.layout.low_db, self.layout.high_db
        steps = (values_db - np.float32(low_db)) * np.float32(255.0 / (high_db - low_db))
        return _rounded(steps, 0.0)


def _rounded(steps: FloatArray, lowest: float) -> npt.NDArray[np.uint8]:
    """To whole numbers from ``lowest`` to 255. Shape: ``(n_mels, n)`` to ``(n, n_mels)``."""
    whole = np.rint(steps)
    # np.clip takes twice as long for arrays as small as these.
    np.minimum(np.maximum(whole, lowest, out=whole), 255.0, out=whole)
    values: npt.NDArray[np.uint8] = whole.astype(np.uint8).T
    return values
