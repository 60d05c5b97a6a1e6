"""The lock under which threads compute, one at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class ComputeLock:
    """A lock that a thread holds while it computes; it is bypassed when its holder hangs.

    All machines of a daemon together then use about one core. Without the lock, ONNX
    Runtime releases the interpreter during an inference, so that some work could run in
    parallel. Most other work needs the interpreter, and numpy releases it with every array:
    a hundred threads that compute at once pass it between the cores tens of thousands of
    times a second, and a block that needs a millisecond takes seconds. A hundred streams on
    two cores gave 71 % of their scores without the lock, with a p99 latency of 4.6 s.
    Simulated machines also hold the lock while they make their sound: without it, a hundred
    of them used 1.05 of a core instead of 0.79.

    If a thread hangs while it holds the lock, the first other thread waits for ``TIMEOUT_S``.
    After that, threads compute without the lock until it is released.
    """

    TIMEOUT_S: ClassVar[float] = 2.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder_hangs = False

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait for the lock and hold it during the ``with`` block."""
        acquired = self._lock.acquire(timeout=0.0 if self._holder_hangs else self.TIMEOUT_S)
        self._holder_hangs = not acquired
        try:
            yield
        finally:
            if acquired:
                self._lock.release()


COMPUTE_LOCK = ComputeLock()
"""The lock of everything in this process that computes on sound."""
