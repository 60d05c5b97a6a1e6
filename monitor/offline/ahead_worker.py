"""A process that computes windows ahead, and what is passed to it and back in shared memory."""

from __future__ import annotations

import logging
import math
import os
import select
import signal
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, cycle
from mmap import mmap

import numpy as np

from monitor.audio.cells import CELL_S
from monitor.audio.spectral_gaps import share_of_gaps
from monitor.domain import AudioBlock, DoubleArray, FloatArray, LogMelWindow
from monitor.features.log_mel import window_tiles
from monitor.features.sample_tiles import Tiles
from monitor.features.spectra import WindowTransform
from monitor.model.bundle import Bundle
from monitor.model.network import Network, NetworkOutput

log = logging.getLogger(__name__)

TILES = 16
"""So many windows are given together at most: those of a block."""
CELLS = 8
"""So many cells of sound are looked at for gaps together with them."""
_SLOTS = 6
"""So many pieces wait at each process, or are computed by it."""
_ORDER = 4
_NICER = 3
"""The process of the replay, for which all others wait, has a core when it needs one."""
_LOOK_MS = 1000


def part_of(tiles: Tiles, start: int, count: int) -> Tiles:
    """Some of the tiles."""
    begin = start * tiles.hop
    samples = tiles.samples[begin : begin + (count - 1) * tiles.hop + tiles.length]
    first_sample, number = tiles.first_sample + begin, tiles.number + start
    return Tiles(samples, first_sample, number, count, tiles.length, tiles.hop)


@dataclass(eq=False)
class Piece:
    """Tiles that one process computes together, and later their windows and outputs."""

    tiles: Tiles
    worker: Worker
    cells: list[FloatArray]
    """Cells of sound, whose shares of gaps are computed too."""
    used: int = 0
    shares: DoubleArray = field(default_factory=lambda: np.empty(0))
    results: list[tuple[LogMelWindow, NetworkOutput]] = field(default_factory=list)

    @property
    def numbers(self) -> range:
        """The numbers of the tiles."""
        return range(self.tiles.number, self.tiles.number + self.tiles.count)

    def is_all_of(self, tiles: Tiles) -> bool:
        """Whether the tiles are these, with the same samples."""
        own = self.tiles
        return (
            (own.number, own.first_sample, own.count)
            == (tiles.number, tiles.first_sample, tiles.count)
        ) and np.array_equal(own.samples, part_of(tiles, 0, tiles.count).samples)

    def has(self, tile: Tiles) -> bool:
        """Whether the tile is one of these, with the same samples."""
        own = part_of(self.tiles, tile.number - self.tiles.number, 1)
        return own.first_sample == tile.first_sample and np.array_equal(own.samples, tile.samples)


@dataclass(frozen=True)
class Layout:
    """Where the numbers of a window are in a row of single precision. Shapes without the batch."""

    window: tuple[int, ...]
    spectra: tuple[tuple[int, ...], ...]
    output: int
    n_mels: int
    length: int
    hop: int

    @classmethod
    def of(cls, bundle: Bundle, network: Network) -> Layout:
        """Found by computing a window of silence."""
        spec = bundle.spec
        tiles = window_tiles(spec).push(
            AudioBlock(np.zeros(spec.window_samples, np.float32), spec.sample_rate_hz, 0)
        )
        (window,) = WindowTransform(spec, bundle.spectra).of(tiles)
        output = network.run([window.values_db])
        return cls(
            window.values_db.shape,
            tuple(one.shape for one in window.spectra),
            output.rows.shape[1],
            spec.n_mels,
            tiles.length,
            tiles.hop,
        )

    @cached_property
    def places(self) -> tuple[tuple[slice, tuple[int, ...]], ...]:
        """Where the arrays of a window are in its row, in order, and their shapes."""
        shapes = (self.window, *self.spectra, (self.output,))
        ends = list(accumulate(math.prod(shape) for shape in shapes))
        return tuple(zip(map(slice, [0, *ends], ends), shapes, strict=False))

    @property
    def row(self) -> int:
        """How many numbers a window has."""
        return int(self.places[-1][0].stop)

    @property
    def samples(self) -> int:
        """How many samples a piece has at most."""
        return self.length + (TILES - 1) * self.hop

    def write(self, row: FloatArray, window: LogMelWindow, output: FloatArray) -> None:
        """Put the arrays of a window into its row."""
        arrays = (window.values_db, *window.spectra, output)
        np.concatenate([one.reshape(-1) for one in arrays], out=row)

    def read(self, row: FloatArray, first_sample: int) -> tuple[LogMelWindow, NetworkOutput]:
        """The arrays of a window, from a copy of its row."""
        values_db, *spectra, output = (row[place].reshape(shape) for place, shape in self.places)
        end_sample = first_sample + self.length
        window = LogMelWindow(values_db, first_sample, end_sample, tuple(spectra))
        return window, NetworkOutput(output[np.newaxis], self.n_mels)


class Worker:
    """A process that computes pieces in the order in which it gets them."""

    def __init__(self, bundle: Bundle, network: Network, layout: Layout) -> None:
        self._layout = layout
        cell_samples = round(CELL_S * bundle.spec.sample_rate_hz)
        sizes = (layout.samples, CELLS * cell_samples, TILES * layout.row)
        memory = np.frombuffer(mmap(-1, 4 * _SLOTS * sum(sizes)), dtype=np.float32)
        parts = np.split(memory.reshape(_SLOTS, -1), np.cumsum(sizes)[:-1], axis=1)
        self._samples, self._cells, self._rows = parts
        shares = np.frombuffer(mmap(-1, 8 * _SLOTS * CELLS), dtype=np.float64)
        self._shares = shares.reshape(_SLOTS, CELLS)
        self._cells = self._cells.reshape(_SLOTS, CELLS, cell_samples)
        self._rows = self._rows.reshape(_SLOTS, TILES, layout.row)
        self._free = deque(range(_SLOTS))
        self._given: deque[tuple[Piece, int]] = deque()
        orders = np.frombuffer(mmap(-1, 8 * _SLOTS * _ORDER), dtype=np.int64)
        self._orders = orders.reshape(_SLOTS, _ORDER)
        # A write into a pipe would keep the process that it wakes on the same processor core.
        self._commands, self._answers = (
            os.eventfd(0, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(2)
        )
        self._parent = os.getpid()
        self.process = os.fork()
        if not self.process:
            self._serve(bundle, network)
        self._ended = os.pidfd_open(self.process)
        self._poll = select.poll()
        for descriptor in (self._answers, self._ended):
            self._poll.register(descriptor, select.POLLIN)
        self._is_alive = True

    @property
    def has_room(self) -> bool:
        """Whether it can take another piece."""
        return self._is_alive and bool(self._free)

    def give(self, piece: Piece) -> bool:
        """Let it compute a piece; whether it will."""
        if not self.has_room:
            return False
        slot, tiles = self._free.popleft(), piece.tiles
        self._samples[slot, : len(tiles.samples)] = tiles.samples
        for place, cell in zip(self._cells[slot], piece.cells, strict=False):
            place[...] = cell
        self._orders[slot] = tiles.first_sample, tiles.number, tiles.count, len(piece.cells)
        os.eventfd_write(self._commands, 1)
        self._given.append((piece, slot))
        return True

    def wait_for(self, piece: Piece) -> bool:
        """Wait until it has computed a piece; whether it has."""
        while not piece.results and self._given:
            if self._answers not in dict(self._poll.poll()):
                self._lost()
                return False
            os.eventfd_read(self._answers)
            done, slot = self._given.popleft()
            layout, tiles = self._layout, done.tiles
            done.shares = self._shares[slot].copy()
            done.results = [
                layout.read(row, first_sample)
                for row, first_sample in zip(
                    self._rows[slot, : tiles.count].copy(), tiles.first_samples, strict=True
                )
            ]
            self._free.append(slot)
        return bool(piece.results)

    def drain(self) -> None:
        """Wait until it has nothing to do."""
        while self._given and self.wait_for(self._given[-1][0]):
            pass

    def end(self) -> None:
        """End the process."""
        with suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        for descriptor in (self._commands, self._answers, self._ended):
            os.close(descriptor)

    def _lost(self) -> None:
        if self._is_alive:
            log.warning("a process that computes ahead has ended: the replay goes on without it")
        self._is_alive = False
        self._given.clear()

    def _serve(self, bundle: Bundle, network: Network) -> None:
        """The process: takes the slots in turns, and ends with the process that started it."""
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            os.nice(_NICER)
            layout, spec = self._layout, bundle.spec
            poll = select.poll()
            poll.register(self._commands, select.POLLIN)
            slots = cycle(range(_SLOTS))
            while os.getppid() == self._parent:
                if not poll.poll(_LOOK_MS):
                    continue
                os.eventfd_read(self._commands)
                slot = next(slots)
                first_sample, number, count, n_cells = map(int, self._orders[slot])
                n_samples = layout.length + (count - 1) * layout.hop
                samples = self._samples[slot, :n_samples]
                tiles = Tiles(samples, first_sample, number, count, layout.length, layout.hop)
                windows = WindowTransform(spec, bundle.spectra).of(tiles)
                outputs = network.run([window.values_db for window in windows]).rows
                for row, window, output in zip(self._rows[slot], windows, outputs, strict=False):
                    layout.write(row, window, output)
                for index, cell in enumerate(self._cells[slot, :n_cells]):
                    share = share_of_gaps(cell, spec.sample_rate_hz)
                    self._shares[slot, index] = share
                os.eventfd_write(self._answers, 1)
        finally:
            os._exit(0)
