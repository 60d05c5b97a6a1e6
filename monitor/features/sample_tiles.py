"""Audio blocks of any size to pieces of one fixed length at fixed places of the stream.

The rounding of a matrix product may depend on its number of rows. A transform that sees only
tiles gives the same bits for every cutting of the stream into blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from monitor.domain import AudioBlock, FloatArray
from monitor.errors import SourceFault
from monitor.features.finite import all_finite


def check_block(block: AudioBlock, sample_rate_hz: int) -> None:
    """Raise ``SourceFault`` for another sample rate or shape and samples that are not finite."""
    if block.sample_rate_hz != sample_rate_hz:
        raise SourceFault(
            f"audio at {block.sample_rate_hz} Hz arrived where {sample_rate_hz} Hz was expected"
        )
    if block.samples.ndim != 1:
        raise SourceFault(f"audio of shape {block.samples.shape} arrived, expected one channel")
    if not all_finite(block.samples):
        raise SourceFault("audio holds NaN or infinite samples")


@dataclass(frozen=True, slots=True)
class Tiles:
    """Successive tiles of the stream.

    ``samples``: from the first sample of the first tile on. ``first_sample``: the position of the
    first of them. ``number``: of the first tile, from 0 since the start or the last gap.
    ``count``: how many there are.
    """

    samples: FloatArray
    first_sample: int
    number: int
    count: int
    length: int
    hop: int

    @property
    def first_samples(self) -> range:
        """Where each tile begins."""
        return range(self.first_sample, self.first_sample + self.count * self.hop, self.hop)

    def parts(self, start: int, length: int) -> FloatArray:
        """``length`` samples of each tile from ``start`` on, a view. Shape: ``(count, length)``."""
        step = self.samples.itemsize
        shape, strides = (self.count, length), (self.hop * step, step)
        return np.ndarray(shape, self.samples.dtype, self.samples, start * step, strides)


def in_groups(count: int, size: int) -> Iterator[slice]:
    """``count`` tiles: as many as possible in groups of ``size``, the others alone."""
    alone = count - count % size
    for first in range(0, alone, size):
        yield slice(first, first + size)
    for first in range(alone, count):
        yield slice(first, first + 1)


class SampleTiles:
    """Tiles of ``length`` samples, one every ``hop``.

    After a discontinuity, tiles are counted from the first later sample. State: the samples that
    later tiles need (the first ``_n_held`` of ``_held``), the position of the first of them
    (``_first_sample``, before it arrives while samples are skipped), how many are still to be
    skipped (``_to_skip``), and the number of the next tile.
    """

    def __init__(self, sample_rate_hz: int, *, length: int, hop: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._length, self._hop = length, hop
        # Made at the first block: a transform that others give their tiles has no samples.
        self._held = np.empty(0, dtype=np.float32)
        self.reset()

    def reset(self, first_sample: int = 0) -> None:
        """Forget all samples: the next one has index ``first_sample``."""
        self._n_held = self._to_skip = self._number = 0
        self._first_sample = first_sample

    @property
    def n_missing(self) -> int:
        """How many samples the next tile still needs."""
        return self._to_skip + self._length - self._n_held

    def push(self, block: AudioBlock) -> Tiles:
        """The tiles that ``block`` completes.

        Raises as ``check_block``; the state is then as it was before the call.
        """
        check_block(block, self._sample_rate_hz)
        if block.discontinuous:
            self.reset(block.first_sample)
        if not len(self._held):
            self._held = np.empty(self._length, dtype=np.float32)
        new = block.samples[self._to_skip :]
        self._to_skip -= len(block.samples) - len(new)
        n_held, n_samples = self._n_held, self._n_held + len(new)
        length, hop = self._length, self._hop
        count = max(0, 1 + (n_samples - length) // hop)
        if not count:
            self._held[n_held:n_samples] = new
            self._n_held = n_samples
            return Tiles(new[:0], self._first_sample, self._number, 0, length, hop)
        joined = np.concatenate((self._held[:n_held], new)) if n_held else np.ascontiguousarray(new)
        tiles = Tiles(joined, self._first_sample, self._number, count, length, hop)
        used = count * hop
        rest = joined[used:]
        self._n_held = len(rest)
        self._held[: len(rest)] = rest
        self._to_skip = max(0, used - n_samples)
        self._first_sample += used
        self._number += count
        return tiles
