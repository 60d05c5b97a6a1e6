"""Windows and what the network makes of them, computed ahead by other processes.

Both depend only on the samples of a window, so every process computes the same bits. The
process of the replay does all that depends on what came before. It looks up each window by its
place and its samples; one that was not computed ahead, after a gap for instance, it computes
itself. So the results are those of one process, whatever the recording contains.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Self

import numpy as np

from monitor.audio.cells import SoundCells
from monitor.audio.resampling import StreamResampler
from monitor.audio.spectral_gaps import share_of_gaps
from monitor.detection.codec_gaps import is_sampled
from monitor.domain import AudioBlock, FloatArray, LogMelBlock, LogMelWindow
from monitor.features.log_mel import window_tiles
from monitor.features.sample_tiles import Tiles
from monitor.features.spectra import WindowTransform
from monitor.model.bundle import Bundle
from monitor.model.network import Network, NetworkOutput
from monitor.offline.ahead_worker import CELLS, TILES, Layout, Piece, Worker, part_of

_MOST_OUTPUTS = 128
"""Of windows that were not scored yet; of a machine that is off, they never are."""
_LEAST_SHARED_BYTES = 1_000_000
"""About a minute of sound as FLAC."""


def ahead_for(
    bundle: Bundle, network: Network, recordings: Iterable[Path], jobs: int
) -> AbstractContextManager[Ahead | None]:
    """The processes that share the work; none for little sound, which is done before they start.

    None for an encoder of samples, which are not passed back.
    """
    n_bytes = sum(path.stat().st_size for path in recordings if path.is_file())
    if jobs < 2 or n_bytes < _LEAST_SHARED_BYTES or bundle.needs_samples:
        return nullcontext()
    return Ahead(bundle, network, jobs)


class Ahead:
    """Processes that compute ahead for the recordings of one bundle. A context manager.

    ``recording`` is called for one recording after another. Use it in the main thread of a process
    that has no other threads: the processes are copies of this one.
    """

    def __init__(self, bundle: Bundle, network: Network, jobs: int) -> None:
        """``jobs``: how many processes."""
        self.bundle = bundle
        self.network = network
        self._layout = Layout.of(bundle, network)
        self._jobs = jobs
        self._workers: list[Worker] = []

    def __enter__(self) -> Self:
        """Start the processes."""
        self._workers = [Worker(self.bundle, self.network, self._layout) for _ in range(self._jobs)]
        return self

    def __exit__(self, *exc_info: object) -> None:
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

    def __init__(self, bundle: Bundle, network: Network, workers: Sequence[Worker]) -> None:
        self._spec = bundle.spec
        self._spectra = bundle.spectra
        self._network = network
        self._workers = deque(workers)
        self._pieces: dict[int, Piece] = {}
        self._order: deque[Piece] = deque()
        self._cells: deque[Piece] = deque(maxlen=64)
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
                    self._give(tiles.push(sound), _sampled(cells.push(sound)))
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
            one = part_of(tiles, index, 1)
            window = self._prepared(one)
            if window is None:
                return WindowTransform(self._spec, self._spectra).of(tiles)
            found.append(window)
        return found

    def run(
        self,
        windows_db: FloatArray | Sequence[FloatArray],
        samples: FloatArray | Sequence[FloatArray | None] = (),  # noqa: ARG002 - nothing here needs them
    ) -> NetworkOutput:
        """As ``Network.run``."""
        rows = []
        for values_db in windows_db:
            known = self._outputs.get(id(values_db))
            rows.append(known[1] if known is not None else self._network.run([values_db]))
            if known is not None:
                self._drop_outputs_to(id(values_db))
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
        for start in range(0, tiles.count, TILES):
            part = part_of(tiles, start, min(TILES, tiles.count - start))
            worker = next((one for one in self._workers if one.has_room), None)
            if worker is None:
                return  # these windows are computed here
            self._workers.remove(worker)
            self._workers.append(worker)
            piece = Piece(part, worker, cells[:CELLS] if self._has_capture else [])
            cells = cells[CELLS:]
            if worker.give(piece):
                self._order.append(piece)
                if piece.cells:
                    self._cells.append(piece)
                self._pieces |= dict.fromkeys(piece.numbers, piece)

    def _drop_outputs_to(self, key: int) -> None:
        """Windows are scored in their order: those before it will not be scored."""
        while self._outputs.popitem(last=False)[0] != key:
            pass

    def _drop_before(self, first_sample: int) -> None:
        """Pieces that were not wanted, because the grid changed at a gap, would fill the room.

        Their cells of sound come before their windows.
        """
        while self._order and self._order[0].tiles.first_samples[-1] < first_sample:
            piece = self._order.popleft()
            piece.worker.wait_for(piece)
            if piece in self._cells:
                self._cells.remove(piece)
            for number in piece.numbers:
                if self._pieces.get(number) is piece:
                    del self._pieces[number]

    def _prepared(self, tile: Tiles) -> LogMelWindow | None:
        piece = self._pieces.get(tile.number)
        if piece is None or not piece.has(tile) or not piece.worker.wait_for(piece):
            return None
        return self._known(piece, tile.number)

    def _known(self, piece: Piece, number: int) -> LogMelWindow:
        self._pieces.pop(number, None)
        window, output = piece.results[number - piece.tiles.number]
        self._outputs[id(window.values_db)] = window.values_db, output
        if len(self._outputs) > _MOST_OUTPUTS:
            self._outputs.popitem(last=False)
        return window


def _sampled(cells: Sequence[tuple[int, FloatArray]]) -> list[FloatArray]:
    """The cells that are surely looked at for gaps."""
    return [cell for end_sample, cell in cells if is_sampled(end_sample, len(cell))]
