"""Windows and what the network makes of them, computed ahead by other processes.

Both depend only on the samples of a window, so whoever computes them gives the same bits. The
process of the replay does all that depends on what came before. It looks up each window by its
place and its samples; one that was not computed ahead, after a gap for instance, it computes
itself. So the results are those of one process, whatever the recording contains.
"""

from __future__ import annotations

import logging
import os
import signal
import struct
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from mmap import mmap
from types import TracebackType
from typing import Self

import numpy as np

from monitor.audio.cells import CELL_S, SoundCells
from monitor.audio.resampling import StreamResampler
from monitor.audio.spectral_gaps import share_of_gaps
from monitor.domain import AudioBlock, DoubleArray, FloatArray, LogMelBlock, LogMelWindow
from monitor.features.log_mel import window_tiles
from monitor.features.sample_tiles import Tiles
from monitor.features.spectra import WindowTransform
from monitor.model.bundle import Bundle
from monitor.model.network import Network, NetworkOutput

log = logging.getLogger(__name__)

_TILES = 16
_SLOTS = 3
"""So many pieces wait at each process, or are computed by it."""
_MOST_OUTPUTS = 512
_CELLS = 20
"""So many cells of sound are looked at for gaps together with a piece."""
_MESSAGE = struct.Struct("<iqqii")


class Ahead:
    """Processes that compute ahead for the recordings of one bundle. A context manager.

    ``of``: the recordings, one after another. Use it in the main thread of a process that has no
    other threads: the processes are copies of this one.
    """

    def __init__(self, bundle: Bundle, network: Network, jobs: int) -> None:
        """``jobs``: how many processes."""
        self.bundle = bundle
        self.network = network
        self._layout = _Layout.of(bundle, network)
        self._jobs = jobs
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        """Start the processes."""
        self._workers = [
            _Worker(self.bundle, self.network, self._layout) for _ in range(self._jobs)
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.end()

    @property
    def processes(self) -> list[int]:
        """Their numbers."""
        return [worker.process for worker in self._workers]

    def recording(self) -> AheadRecording:
        """For one recording, which must be read to its end or not continued."""
        for worker in self._workers:
            worker.drain()
        return AheadRecording(self.bundle, self.network, self._workers)


class AheadRecording:
    """One recording: gives its blocks, and then their windows and outputs of the network.

    State: the pieces that were given to the processes, by the place of their first window.
    """

    def __init__(self, bundle: Bundle, network: Network, workers: Sequence[_Worker]) -> None:
        self._spec = bundle.spec
        self._spectra = bundle.peaks.spec if bundle.peaks is not None else None
        self._network = network
        self._workers = deque(workers)
        self._pieces: dict[int, _Piece] = {}
        self._order: deque[_Piece] = deque()
        self._cells: deque[_Piece] = deque(maxlen=64)
        self._has_capture = bundle.manifest.capture is not None
        self._outputs: OrderedDict[int, tuple[FloatArray, NetworkOutput]] = OrderedDict()

    def blocks(
        self, blocks: Iterable[AudioBlock | LogMelBlock]
    ) -> Iterator[AudioBlock | LogMelBlock]:
        """The same blocks, read as far ahead as the processes can take."""
        resampler = StreamResampler(self._spec.sample_rate_hz)
        tiles, cells = window_tiles(self._spec), SoundCells()
        waiting: deque[AudioBlock | LogMelBlock] = deque()
        for block in blocks:
            waiting.append(block)
            if isinstance(block, AudioBlock):
                sound = resampler.push(block)
                if sound is not None:
                    self._give(tiles.push(sound), [cell for _, cell in cells.push(sound)])
            while waiting and not any(one.has_room for one in self._workers):
                yield waiting.popleft()
        yield from waiting

    def windows(self, tiles: Tiles) -> list[LogMelWindow]:
        """As ``WindowTransform.of``."""
        found: list[LogMelWindow] = []
        self._drop_before(tiles.first_sample)
        piece = self._pieces.get(tiles.number)
        if piece is not None and piece.is_all_of(tiles) and piece.worker.wait_for(piece):
            return [self._known(piece, number) for number in piece.numbers]
        for index in range(tiles.count):
            one = _part(tiles, index, 1)
            window = self._prepared(one)
            if window is None:
                return WindowTransform(self._spec, self._spectra).of(tiles)
            found.append(window)
        return found

    def run(self, windows_db: FloatArray | Sequence[FloatArray]) -> NetworkOutput:
        """As ``Network.run``."""
        rows = []
        for values_db in windows_db:
            known = self._outputs.pop(id(values_db), None)
            rows.append(known[1] if known is not None else self._network.run([values_db]))
        return NetworkOutput(np.concatenate([row.rows for row in rows]), self._spec.n_mels)

    def share_of_gaps(self, cell: FloatArray, sample_rate_hz: int) -> float:
        """As ``share_of_gaps`` of ``monitor.audio.spectral_gaps``."""
        while self._cells and self._cells[0].used == len(self._cells[0].cells):
            self._cells.popleft()
        for piece in self._cells:
            if piece.used < len(piece.cells) and np.array_equal(piece.cells[piece.used], cell):
                piece.used += 1
                if piece.worker.wait_for(piece):
                    return float(piece.shares[piece.used - 1])
        return share_of_gaps(cell, sample_rate_hz)

    def _give(self, tiles: Tiles, cells: list[FloatArray]) -> None:
        for start in range(0, tiles.count, _TILES):
            part = _part(tiles, start, min(_TILES, tiles.count - start))
            worker = next((one for one in self._workers if one.has_room), None)
            if worker is None:
                return  # these windows are computed here
            self._workers.remove(worker)
            self._workers.append(worker)
            piece = _Piece(part, worker, cells[:_CELLS] if self._has_capture else [])
            cells = cells[_CELLS:]
            if worker.give(piece):
                self._order.append(piece)
                self._cells.append(piece)
                self._pieces |= dict.fromkeys(piece.numbers, piece)

    def _drop_before(self, first_sample: int) -> None:
        """Pieces that were not wanted, because the grid changed at a gap, would fill the room."""
        while self._order and self._order[0].tiles.first_samples[-1] < first_sample:
            piece = self._order.popleft()
            piece.worker.wait_for(piece)
            for number in piece.numbers:
                if self._pieces.get(number) is piece:
                    del self._pieces[number]

    def _prepared(self, tile: Tiles) -> LogMelWindow | None:
        piece = self._pieces.get(tile.number)
        if piece is None or not piece.has(tile) or not piece.worker.wait_for(piece):
            return None
        return self._known(piece, tile.number)

    def _known(self, piece: _Piece, number: int) -> LogMelWindow:
        self._pieces.pop(number, None)
        window, output = piece.results[number - piece.tiles.number]
        self._outputs[id(window.values_db)] = window.values_db, output
        if len(self._outputs) > _MOST_OUTPUTS:
            self._outputs.popitem(last=False)
        return window


def _part(tiles: Tiles, start: int, count: int) -> Tiles:
    """Some of the tiles."""
    begin = start * tiles.hop
    samples = tiles.samples[begin : begin + (count - 1) * tiles.hop + tiles.length]
    first_sample, number = tiles.first_sample + begin, tiles.number + start
    return Tiles(samples, first_sample, number, count, tiles.length, tiles.hop)


@dataclass(eq=False)
class _Piece:
    """Tiles that one process computes together, and later their windows and outputs."""

    tiles: Tiles
    worker: _Worker
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
        ) and np.array_equal(own.samples, _part(tiles, 0, tiles.count).samples)

    def has(self, tile: Tiles) -> bool:
        """Whether the tile is one of these, with the same samples."""
        own = _part(self.tiles, tile.number - self.tiles.number, 1)
        return own.first_sample == tile.first_sample and np.array_equal(own.samples, tile.samples)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the numbers of a window are in a row of single precision. Shapes without the batch."""

    window: tuple[int, ...]
    spectra: tuple[tuple[int, ...], ...]
    output: int
    n_mels: int
    length: int
    hop: int

    @classmethod
    def of(cls, bundle: Bundle, network: Network) -> _Layout:
        """Found by computing a window of silence."""
        spec = bundle.spec
        spectra = bundle.peaks.spec if bundle.peaks is not None else None
        tiles = window_tiles(spec).push(
            AudioBlock(np.zeros(spec.window_samples, np.float32), spec.sample_rate_hz, 0)
        )
        (window,) = WindowTransform(spec, spectra).of(tiles)
        output = network.run([window.values_db])
        return cls(
            window.values_db.shape,
            tuple(one.shape for one in window.spectra),
            output.rows.shape[1],
            spec.n_mels,
            tiles.length,
            tiles.hop,
        )

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of all arrays of a window, in order."""
        return (self.window, *self.spectra, (self.output,))

    @property
    def row(self) -> int:
        """How many numbers a window has."""
        return sum(int(np.prod(shape, dtype=int)) for shape in self.shapes)

    @property
    def samples(self) -> int:
        """How many samples a piece has at most."""
        return self.length + (_TILES - 1) * self.hop

    def write(self, row: FloatArray, window: LogMelWindow, output: FloatArray) -> None:
        """Put the arrays of a window into its row."""
        arrays = (window.values_db, *window.spectra, output)
        np.concatenate([one.reshape(-1) for one in arrays], out=row)

    def read(self, row: FloatArray, first_sample: int) -> tuple[LogMelWindow, NetworkOutput]:
        """The arrays of a window, from a copy of its row."""
        arrays, at = [], 0
        for shape in self.shapes:
            size = int(np.prod(shape, dtype=int))
            arrays.append(row[at : at + size].reshape(shape))
            at += size
        values_db, *spectra, output = arrays
        end_sample = first_sample + self.length
        window = LogMelWindow(values_db, first_sample, end_sample, tuple(spectra))
        return window, NetworkOutput(output[np.newaxis], self.n_mels)


class _Worker:
    """A process that computes pieces in the order in which it gets them."""

    def __init__(self, bundle: Bundle, network: Network, layout: _Layout) -> None:
        self._layout = layout
        cell_samples = round(CELL_S * bundle.spec.sample_rate_hz)
        sizes = (layout.samples, _CELLS * cell_samples, _TILES * layout.row)
        memory = np.frombuffer(mmap(-1, 4 * _SLOTS * sum(sizes)), dtype=np.float32)
        parts = np.split(memory.reshape(_SLOTS, -1), np.cumsum(sizes)[:-1], axis=1)
        self._samples, self._cells, self._rows = parts
        shares = np.frombuffer(mmap(-1, 8 * _SLOTS * _CELLS), dtype=np.float64)
        self._shares = shares.reshape(_SLOTS, _CELLS)
        self._cells = self._cells.reshape(_SLOTS, _CELLS, cell_samples)
        self._rows = self._rows.reshape(_SLOTS, _TILES, layout.row)
        self._free = deque(range(_SLOTS))
        self._given: deque[tuple[_Piece, int]] = deque()
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        self.process = os.fork()
        if not self.process:
            os.close(self._commands)
            os.close(self._answers)
            self._serve(bundle, network, commands, answers)
        os.close(commands)
        os.close(answers)
        self._is_alive = True

    @property
    def has_room(self) -> bool:
        """Whether it can take another piece."""
        return self._is_alive and bool(self._free)

    def give(self, piece: _Piece) -> bool:
        """Let it compute a piece; whether it will."""
        if not self.has_room:
            return False
        slot, tiles = self._free.popleft(), piece.tiles
        self._samples[slot, : len(tiles.samples)] = tiles.samples
        for place, cell in zip(self._cells[slot], piece.cells, strict=False):
            place[...] = cell
        message = _MESSAGE.pack(
            slot, tiles.first_sample, tiles.number, tiles.count, len(piece.cells)
        )
        try:
            os.write(self._commands, message)
        except BrokenPipeError:
            self._lost()
            return False
        self._given.append((piece, slot))
        return True

    def wait_for(self, piece: _Piece) -> bool:
        """Wait until it has computed a piece; whether it has."""
        while not piece.results and self._given:
            if not os.read(self._answers, 1):
                self._lost()
                return False
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
        os.close(self._commands)
        os.close(self._answers)
        with suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)

    def _lost(self) -> None:
        if self._is_alive:
            log.warning("a process that computes ahead has ended: the replay goes on without it")
        self._is_alive = False
        self._given.clear()

    def _serve(self, bundle: Bundle, network: Network, commands: int, answers: int) -> None:
        """The process: ends with the one that started it."""
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            layout, spec = self._layout, bundle.spec
            spectra = bundle.peaks.spec if bundle.peaks is not None else None
            while message := os.read(commands, _MESSAGE.size):
                slot, first_sample, number, count, n_cells = _MESSAGE.unpack(message)
                n_samples = layout.length + (count - 1) * layout.hop
                samples = self._samples[slot, :n_samples]
                tiles = Tiles(samples, first_sample, number, count, layout.length, layout.hop)
                windows = WindowTransform(spec, spectra).of(tiles)
                outputs = network.run([window.values_db for window in windows]).rows
                for row, window, output in zip(self._rows[slot], windows, outputs, strict=False):
                    layout.write(row, window, output)
                for index, cell in enumerate(self._cells[slot, :n_cells]):
                    share = share_of_gaps(cell, spec.sample_rate_hz)
                    self._shares[slot, index] = share
                os.write(answers, b".")
        finally:
            os._exit(0)
