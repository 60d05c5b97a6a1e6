"""Precomputed log-mel recordings in ``.npy`` files, read in blocks.

The header is read with a size limit and the frames as plain bytes, one block at a time:
no pickle, constant memory, and a file that shrinks while it is read is an error (a memory
map would end the process with a bus error).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from monitor.domain import LogMelBlock
from monitor.errors import BadInputError, MissingInputError

_MAX_HEADER_BYTES = 4096
_MAX_MELS = 1024
BLOCK_FRAMES = 512
_DB_RANGE = (-1000.0, 1000.0)
_EXPECTED = (
    "expected an .npy file of (n_frames, n_mels) float32 or float64 in dB, as np.save writes it"
)
_TYPES = frozenset({"<f4", "<f8"})
_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_log_mel_blocks(
    path: Path, *, n_mels: int | None = None, block_frames: int = BLOCK_FRAMES
) -> Iterator[LogMelBlock]:
    """A recording's frames from its beginning, in constant memory.

    Raises ``MissingInputError`` when the file does not exist, and ``BadInputError``
    with the file and what would be right when it is no log-mel file, is truncated or too long,
    contains values that are not levels in dB, or does not have ``n_mels`` bands (if given).
    """
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except (OSError, ValueError) as error:
        raise _missing(path, error) from None
    with file:
        frames_there, mels_there, dtype = _shape(file, path)
        if n_mels is not None and mels_there != n_mels:
            raise BadInputError(f"{path}: has {mels_there} mel bands, {n_mels} are expected")
        first_frame = 0
        while first_frame < frames_there:
            n_frames = min(block_frames, frames_there - first_frame)
            n_bytes = n_frames * mels_there * dtype.itemsize
            content = file.read(n_bytes)
            if len(content) < n_bytes:
                raise BadInputError(
                    f"{path}: truncated, its header gives {frames_there} frames; copy it again"
                )
            frames_db = np.frombuffer(content, dtype).reshape(n_frames, mels_there)
            if not (frames_db.min() >= _DB_RANGE[0] and frames_db.max() <= _DB_RANGE[1]):
                raise BadInputError(
                    f"{path}: frames {first_frame} to {first_frame + n_frames} contain NaN, "
                    "infinity or values that are not levels in dB"
                )
            yield LogMelBlock(frames_db.astype(np.float32), first_frame)
            first_frame += n_frames
        if file.read(1):
            raise BadInputError(
                f"{path}: contains more than the {frames_there} frames that its header states: "
                "several arrays in one file? Use one file for each"
            )


def _missing(path: Path, error: OSError | ValueError) -> MissingInputError:
    why = getattr(error, "strerror", None) or str(error)
    return MissingInputError(f"{path}: cannot be opened: {why}")


class _Limited:
    """A file of which only the first ``left`` bytes can be read: numpy limits a header too late."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file = file
        self._left = left

    def read(self, size: int = -1, /) -> bytes:
        content = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(content)
        return content


def _shape(file: BinaryIO, path: Path) -> tuple[int, int, np.dtype[Any]]:
    """``n_frames``, ``n_mels`` and type by the header; the file is left at the first frame."""
    head = _Limited(file, 12 + _MAX_HEADER_BYTES)
    try:
        version = np.lib.format.read_magic(head)
    except ValueError:
        raise BadInputError(f"{path}: not an .npy file; {_EXPECTED}") from None
    if version not in _HEADER_READERS:
        raise BadInputError(f"{path}: not an .npy file of version 1 or 2; {_EXPECTED}")
    try:
        shape, fortran_order, dtype = _HEADER_READERS[version](
            head, max_header_size=_MAX_HEADER_BYTES
        )
    except Exception:  # noqa: BLE001  # a damaged header raises errors of many kinds in the parser
        raise BadInputError(f"{path}: its header cannot be read; {_EXPECTED}") from None
    if dtype.str not in _TYPES:
        raise BadInputError(f"{path}: contains {dtype.str}; {_EXPECTED}")
    if fortran_order:
        raise BadInputError(f"{path}: is in Fortran order; {_EXPECTED}")
    two_axes = [type(length) for length in shape] == [int, int]  # numpy lets booleans pass
    if not two_axes or shape[0] < 1 or not 1 <= shape[1] <= _MAX_MELS:
        raise BadInputError(f"{path}: has the shape {shape}; {_EXPECTED}")
    return shape[0], shape[1], dtype
