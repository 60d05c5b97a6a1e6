"""Precomputed log-mel recordings in ``.npy`` files, read in blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from monitor.domain import LogMelBlock
from monitor.errors import BadInputError, MissingInputError

_HEADER = re.compile(
    rb"\{'descr': '(?P<descr>[^']{1,40})', 'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>[0-9, ]{0,80})\), \} *\n"
)


_MAX_HEADER_BYTES = 4096


_MAX_MELS = 1024


_BLOCK_FRAMES = 512


_DB_RANGE = (-1000.0, 1000.0)


_EXPECTED = "expected an .npy file of (n_frames, n_mels) float32 in dB, as np.save writes it"


def read_log_mel_blocks(
    path: Path, *, n_mels: int | None = None, block_frames: int = _BLOCK_FRAMES
) -> Iterator[LogMelBlock]:
    """A recording's frames from its beginning, in constant memory.

    Raises ``MissingInputError`` when there is no such file, and ``BadInputError``
    naming the file and what would be right when it holds anything else, is cut
    short, holds what is no level in dB, or has not ``n_mels`` bands (if given).
    """
    try:
        file = path.open("rb")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise MissingInputError(f"{path}: cannot be opened: {why}") from None
    with file:
        frames_there, mels_there = _shape(file, path)
        if n_mels is not None and mels_there != n_mels:
            raise BadInputError(f"{path}: has {mels_there} mel bands, {n_mels} are expected")
        first_frame = 0
        while first_frame < frames_there:
            n_frames = min(block_frames, frames_there - first_frame)
            content = file.read(n_frames * mels_there * 4)
            if len(content) < n_frames * mels_there * 4:
                raise BadInputError(
                    f"{path}: truncated: its header promises {frames_there} frames; copy it again"
                )
            frames_db = np.frombuffer(content, dtype="<f4").reshape(n_frames, mels_there)
            if not (frames_db.min() >= _DB_RANGE[0] and frames_db.max() <= _DB_RANGE[1]):
                raise BadInputError(
                    f"{path}: frames {first_frame} to {first_frame + n_frames} hold NaN, infinity "
                    "or what is no level in dB"
                )
            yield LogMelBlock(frames_db.astype(np.float32), first_frame)
            first_frame += n_frames


def log_mel_frame_count(path: Path) -> int:
    """The number of frames, by the file's header. Raises as :func:`read_log_mel_blocks`."""
    try:
        with path.open("rb") as file:
            return _shape(file, path)[0]
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise MissingInputError(f"{path}: cannot be opened: {why}") from None


def _shape(file: BinaryIO, path: Path) -> tuple[int, int]:
    """``(n_frames, n_mels)`` by the header; the file is left at the first frame."""
    head = file.read(8)
    if head[:6] != b"\x93NUMPY" or head[6:7] not in {b"\x01", b"\x02"}:
        raise BadInputError(f"{path}: not an .npy file; {_EXPECTED}")
    n_bytes = int.from_bytes(file.read(2 if head[6] == 1 else 4), "little")
    match = _HEADER.fullmatch(file.read(n_bytes)) if n_bytes <= _MAX_HEADER_BYTES else None
    if match is None:
        raise BadInputError(f"{path}: its header cannot be read; {_EXPECTED}")
    if match["descr"] != b"<f4":
        raise BadInputError(f"{path}: holds {match['descr'].decode('latin-1')}; {_EXPECTED}")
    if match["fortran"] == b"True":
        raise BadInputError(f"{path}: is in Fortran order; {_EXPECTED}")
    shape = [int(n) for n in match["shape"].replace(b" ", b"").split(b",") if n]
    if len(shape) != 2 or shape[0] < 1 or not 1 <= shape[1] <= _MAX_MELS:
        raise BadInputError(f"{path}: has the shape {tuple(shape)}; {_EXPECTED}")
    return shape[0], shape[1]
