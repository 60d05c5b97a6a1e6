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


class Tile(NamedTuple):
    """Samples of the stream. ``number``: from 0 since the start or the last gap."""

    samples: FloatArray
    first_sample: int
    number: int


def group_size(n_values: int) -> int:
    """How many tiles to transform together, if one makes ``n_values`` values: 1 to 4.

    Each call of numpy takes time, but arrays must fit into the processor's cache.
    """
    return min(4, max(1, 32_768 // n_values))


def in_groups(tiles: list[Tile], size: int) -> Iterator[list[Tile]]:
    """The same tiles in order: as many as possible in groups of ``size``, the others alone."""
    alone = len(tiles) - len(tiles) % size
    for first in range(0, alone, size):
        yield tiles[first : first + size]
    for tile in tiles[alone:]:
        yield [tile]


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
        self._held = np.empty(length, dtype=np.float32)
        self.reset()

    def reset(self, first_sample: int = 0) -> None:
        """Forget all samples: the next one has index ``first_sample``."""
        self._n_held = self._to_skip = self._number = 0
        self._first_sample = first_sample

    @property
    def n_missing(self) -> int:
        """How many samples the next tile still needs."""
        return self._to_skip + self._length - self._n_held

    def push(self, block: AudioBlock) -> list[Tile]:
        """The tiles that ``block`` completes, in order.

        Raises as ``check_block``; the state is then as it was before the call.
        """
        check_block(block, self._sample_rate_hz)
        if block.discontinuous:
            self.reset(block.first_sample)
        new = block.samples[self._to_skip :]
        self._to_skip -= len(block.samples) - len(new)
        n_held, n_samples = self._n_held, self._n_held + len(new)
        if n_samples < self._length:
            self._held[n_held:n_samples] = new
            self._n_held = n_samples
            return []
        # All tiles that begin in held samples end in these.
        joined = np.concatenate((self._held[:n_held], new[: self._length])) if n_held else new
        tiles: list[Tile] = []
        start = 0
        while start + self._length <= n_samples:
            samples = joined[start:] if start < n_held else new[start - n_held :]
            tiles.append(
                Tile(samples[: self._length], self._first_sample, self._number + len(tiles))
            )
            start += self._hop
            self._first_sample += self._hop
        self._number += len(tiles)
        rest = joined[start:] if start < n_held else new[start - n_held :]
        self._n_held = len(rest)
        self._held[: len(rest)] = rest
        self._to_skip = max(0, start - n_samples)
        return tiles
