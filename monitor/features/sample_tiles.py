"""Audio blocks of any size to pieces of one fixed length at fixed places of the stream.

The rounding of a matrix product may depend on its number of rows. A transform that sees only
tiles gives the same bits for every cutting of the stream into blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from monitor.domain import AudioBlock, FloatArray
from monitor.errors import SourceFault


def check_block(block: AudioBlock, sample_rate_hz: int) -> None:
    """Raise ``SourceFault`` for another sample rate or shape and samples that are not finite."""
    if block.sample_rate_hz != sample_rate_hz:
        raise SourceFault(
            f"audio at {block.sample_rate_hz} Hz arrived where {sample_rate_hz} Hz was expected"
        )
    if block.samples.ndim != 1:
        raise SourceFault(f"audio of shape {block.samples.shape} arrived, expected one channel")
    if not np.isfinite(block.samples).all():
        raise SourceFault("audio holds NaN or infinite samples")


class Tile(NamedTuple):
    """Samples of the stream. ``number``: from 0 since the start or the last gap."""

    samples: FloatArray
    first_sample: int
    number: int


class SampleTiles:
    """Tiles of ``length`` samples, one every ``hop``, the first after ``offset`` samples.

    After a discontinuity, tiles are counted from the first later sample. State: the samples that
    later tiles need (``_pending``), the position of the first of them (``_first_sample``, before
    it arrives while the offset is skipped), and the number of the next tile.
    """

    def __init__(self, sample_rate_hz: int, *, offset: int, length: int, hop: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._offset, self._length, self._hop = offset, length, hop
        self.reset()

    def reset(self, first_sample: int = 0) -> None:
        """Forget all samples: the next one has index ``first_sample``."""
        self._pending = np.empty(0, dtype=np.float32)
        self._to_skip = self._offset
        self._first_sample = first_sample + self._offset
        self._number = 0

    def push(self, block: AudioBlock) -> Iterator[Tile]:
        """The tiles that ``block`` completes, in order.

        Raises as ``check_block``; the state is then as it was before the call.
        """
        check_block(block, self._sample_rate_hz)
        if block.discontinuous:
            self.reset(block.first_sample)
        new = block.samples[self._to_skip :]
        self._to_skip -= len(block.samples) - len(new)
        samples = np.concatenate((self._pending, new)) if len(self._pending) else new
        n_tiles = max(0, 1 + (len(samples) - self._length) // self._hop)
        used = min(n_tiles * self._hop, len(samples))
        first_sample, number = self._first_sample, self._number
        self._pending = samples[used:].copy()
        self._to_skip += n_tiles * self._hop - used
        self._first_sample += n_tiles * self._hop
        self._number += n_tiles
        return (
            Tile(
                samples[index * self._hop :][: self._length],
                first_sample + index * self._hop,
                number + index,
            )
            for index in range(n_tiles)
        )
