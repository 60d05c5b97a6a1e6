"""The newest sound of one machine in memory, as it came from the source.

Sound with 16 bits takes 2 bytes a sample, all other sound 3: nothing is lost that a converter of
24 bits gives. Log-mel that was computed elsewhere is kept as it is.
"""

from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.domain import FloatArray

Rows = npt.NDArray[Any]
"""Samples as int16 or int32 (24 bits), shape ``(n,)``, or frames as float32, ``(n, n_mels)``."""

_FULL_SCALE_16, _FULL_SCALE_24 = 1 << 15, 1 << 23


class RowRing:
    """The newest rows of a stream, at most ``capacity``. Positions count rows of the stream."""

    def __init__(self, capacity: int, row_shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        shape = (max(1, capacity), *row_shape)
        n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        # Memory of its own, which goes back to the system when the ring is replaced.
        self._rows: Rows = np.frombuffer(mmap.mmap(-1, n_bytes), dtype=dtype).reshape(shape)
        self.clear(0)

    @property
    def capacity(self) -> int:
        """The most rows that it holds."""
        return len(self._rows)

    @property
    def n_bytes(self) -> int:
        """The memory that it takes."""
        return self._rows.nbytes

    @property
    def first(self) -> int:
        """The position of the oldest row."""
        return max(self._begin, self.end - len(self._rows))

    def clear(self, position: int) -> None:
        """Forget all rows; the next one has this position."""
        self._begin = self.end = position

    def push(self, rows: Rows) -> None:
        """Take the rows that follow the last ones."""
        capacity = len(self._rows)
        newest = rows[-capacity:]
        at = (self.end + len(rows) - len(newest)) % capacity
        head = min(len(newest), capacity - at)
        self._rows[at : at + head] = newest[:head]
        self._rows[: len(newest) - head] = newest[head:]
        self.end += len(rows)

    def grown(self, capacity: int) -> RowRing:
        """A ring with more capacity and the same rows."""
        larger = RowRing(capacity, self._rows.shape[1:], self._rows.dtype)
        larger.clear(self.first)
        larger.push(self.read(self.first, self.end))
        return larger

    def read(self, first: int, end: int) -> Rows:
        """A copy of the rows ``[first, end)``, as far as they are there."""
        first, end = max(first, self.first), min(end, self.end)
        if end <= first:
            return self._rows[:0].copy()
        capacity = len(self._rows)
        at, size = first % capacity, end - first
        head = min(size, capacity - at)
        return np.concatenate((self._rows[at : at + head], self._rows[: size - head]))


class SoundMemory:
    """The newest sound at one sample rate.

    It begins with 16 bits, and changes to 24 with the first sample that 16 cannot hold.
    """

    def __init__(self, capacity: int, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self._ring = RowRing(capacity, (), np.int16)
        self._is_24_bit = False

    @property
    def capacity(self) -> int:
        """The most samples that it holds."""
        return self._ring.capacity

    @property
    def n_bytes(self) -> int:
        """The memory that it takes."""
        return self._ring.n_bytes

    @property
    def row_bytes(self) -> int:
        """The memory that a sample takes in a clip."""
        return 4 if self._is_24_bit else 2

    @property
    def end(self) -> int:
        """The position of the sample that comes next."""
        return self._ring.end

    @property
    def first(self) -> int:
        """The position of the oldest sample."""
        return self._ring.first

    def grow(self, capacity: int) -> None:
        """Hold more sound from now on, if this is more."""
        if capacity > self._ring.capacity:
            self._ring = self._ring.grown(capacity)

    def clear(self, position: int) -> None:
        """Forget the sound; the next sample has this position."""
        self._ring.clear(position)

    def push(self, samples: FloatArray) -> Rows:
        """Take the next samples, float32 at full scale +-1. Returns them as ``read`` does."""
        if not self._is_24_bit:
            narrow = _as_int16(samples)
            if narrow is not None:
                self._ring.push(narrow)
                return narrow
            self._widen()
        wide = _as_int24(samples)
        self._ring.push(_packed(wide))
        return wide

    def read(self, first: int, end: int) -> Rows:
        """A copy of the samples ``[first, end)`` as int16, or as int32 with 24 bits."""
        rows = self._ring.read(first, end)
        return _unpacked(rows) if self._is_24_bit else rows

    def _widen(self) -> None:
        old = self._ring
        self._ring = RowRing(old.capacity, (3,), np.uint8)
        self._ring.clear(old.first)
        self._ring.push(_packed(widened(old.read(old.first, old.end))))
        self._is_24_bit = True


class FrameMemory:
    """The newest log-mel frames of a source without sound."""

    def __init__(self, capacity: int, rate_hz: float, n_mels: int) -> None:
        self.rate_hz = rate_hz
        self._ring = RowRing(capacity, (n_mels,), np.float32)
        self.n_mels = n_mels

    @property
    def capacity(self) -> int:
        """The most frames that it holds."""
        return self._ring.capacity

    @property
    def n_bytes(self) -> int:
        """The memory that it takes."""
        return self._ring.n_bytes

    @property
    def row_bytes(self) -> int:
        """The memory that a frame takes in a clip."""
        return 4 * self.n_mels

    @property
    def end(self) -> int:
        """The position of the frame that comes next."""
        return self._ring.end

    @property
    def first(self) -> int:
        """The position of the oldest frame."""
        return self._ring.first

    def grow(self, capacity: int) -> None:
        """Hold more frames from now on, if this is more."""
        if capacity > self._ring.capacity:
            self._ring = self._ring.grown(capacity)

    def clear(self, position: int) -> None:
        """Forget the frames; the next one has this position."""
        self._ring.clear(position)

    def read(self, first: int, end: int) -> Rows:
        """A copy of the frames ``[first, end)``."""
        return self._ring.read(first, end)

    def push(self, frames_db: FloatArray) -> Rows:
        """Take the next frames. Shape: ``(n, n_mels)``."""
        self._ring.push(frames_db)
        return frames_db


def joined(parts: list[Rows]) -> Rows:
    """Parts of one piece of sound, or of frames, as one array; 24 bits if one part has them."""
    if any(part.dtype == np.int32 for part in parts):
        parts = [widened(part) for part in parts]
    return np.concatenate(parts)


def widened(samples: Rows) -> npt.NDArray[np.int32]:
    """Samples of 16 or 24 bits as samples of 24 bits."""
    if samples.dtype == np.int32:
        return samples
    return samples.astype(np.int32) << 8


def as_float(samples: Rows) -> FloatArray:
    """Samples as float32 at full scale +-1, exactly."""
    scale = _FULL_SCALE_16 if samples.dtype == np.int16 else _FULL_SCALE_24
    return samples.astype(np.float32) / np.float32(scale)


def _as_int16(samples: FloatArray) -> npt.NDArray[np.int16] | None:
    """The same samples; None if 16 bits cannot hold them."""
    scaled = samples * np.float32(_FULL_SCALE_16)
    with np.errstate(invalid="ignore"):  # what is out of range becomes another number
        narrow: npt.NDArray[np.int16] = scaled.astype(np.int16)
    return narrow if np.array_equal(narrow, scaled) else None


def _as_int24(samples: FloatArray) -> npt.NDArray[np.int32]:
    scaled = np.rint(samples * np.float32(_FULL_SCALE_24))
    np.clip(scaled, -_FULL_SCALE_24, _FULL_SCALE_24 - 1, out=scaled)
    wide: npt.NDArray[np.int32] = scaled.astype(np.int32)
    return wide


def _packed(samples: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """The three low bytes of each sample. Shape: ``(n,)`` to ``(n, 3)``."""
    return samples.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3]


def _unpacked(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    whole = np.zeros((len(rows), 4), dtype=np.uint8)
    whole[:, 1:] = rows
    return whole.reshape(-1).view("<i4").astype(np.int32) >> 8
