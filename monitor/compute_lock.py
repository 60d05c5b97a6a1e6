"""Threads that take turns at computing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class Turns:
    """One thread at a time computes, as long as none of them hangs.

    All machines of a daemon thereby share about one core. That gives something up:
    ONNX Runtime lets go of the interpreter during an inference, so some of the work
    could go on beside other work. It is the better trade, because most of the rest
    needs the interpreter, and numpy lets go of it with every array: a hundred threads
    that compute at once pass it to and fro between the cores tens of thousands of times
    a second, and a block that takes a millisecond takes seconds. A hundred streams on
    two cores gave 71 % of their scores without turns, with a p99 latency of 4.6 s.
    Simulated machines take turns at making their sound as well: without that, a hundred
    of them took 1.05 of a core instead of 0.79. A thread that waits for its turn asks
    for nothing meanwhile.

    One that hangs during its turn costs every other a wait of ``PATIENCE_S``, once:
    then they go on without turns until it is back.
    """

    PATIENCE_S: ClassVar[float] = 2.0

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._somebody_hangs = False

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for a turn and have it during the ``with`` block."""
        mine = self._turn.acquire(timeout=0.0 if self._somebody_hangs else self.PATIENCE_S)
        self._somebody_hangs = not mine
        try:
            yield
        finally:
            if mine:
                self._turn.release()


COMPUTING = Turns()
"""The turns of everything in this process that computes on sound."""
