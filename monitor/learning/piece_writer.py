"""The thread that writes pieces, so that the thread of the machine does not wait for the disk."""

from __future__ import annotations

import logging
import queue
import threading

from monitor.learning.collector import PieceSound
from monitor.learning.pieces import Piece
from monitor.learning.state import LearningState
from monitor.text.escaping import one_line

log = logging.getLogger(__name__)

_WAITING_PIECES = 4
_STOP_S = 2.0
_Waiting = tuple[PieceSound, Piece, int]
"""A piece, and the generation of the learning for which it was taken."""


class PieceWriter:
    """Writes pieces in a thread of its own. A piece that does not fit into its queue is lost.

    ``n_lost``: the pieces that were lost, for this reason or because the disk failed.
    """

    def __init__(self, state: LearningState) -> None:
        self.n_lost = 0
        self._state = state
        self._waiting: queue.Queue[_Waiting | None] = queue.Queue(_WAITING_PIECES)
        self._thread = threading.Thread(
            target=self._run, name=f"learn-{state.machine}", daemon=True
        )
        self._thread.start()

    def submit(self, sound: PieceSound, piece: Piece) -> None:
        """Have a piece written. Does not wait."""
        try:
            self._waiting.put_nowait((sound, piece, self._state.generation))
        except queue.Full:
            self.n_lost += 1

    def flush(self) -> None:
        """Wait until all pieces so far are written."""
        self._waiting.join()

    def stop(self) -> None:
        """Write the pieces so far, and end the thread. Does not wait long."""
        try:
            self._waiting.put(None, timeout=0.5)
        except queue.Full:
            log.warning("pieces of sound are lost at the end", extra=self._state.log_extra)
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                self._write(*item)
            finally:
                self._waiting.task_done()

    def _write(self, sound: PieceSound, piece: Piece, generation: int) -> None:
        state = self._state
        try:
            with state.lock:
                if not state.journal.collects or generation != state.generation:
                    return
                state.store.add(sound.samples, sound.sample_rate_hz, piece)
                state.disk_trouble = ""
        except OSError as error:
            self.n_lost += 1
            if not state.disk_trouble:
                log.warning("a piece of sound cannot be kept: %s", error, extra=state.log_extra)
            state.disk_trouble = f"a piece of sound cannot be kept: {error}"
        except Exception as error:  # a bug here must not end the collection
            self.n_lost += 1
            log.exception("internal error while a piece was written", extra=state.log_extra)
            state.disk_trouble = f"a piece of sound cannot be kept: {one_line(repr(error))}"
