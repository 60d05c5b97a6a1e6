"""The compute lock: one thread at a time, and no thread waits for one that hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from monitor.compute_lock import ComputeLock


class ShortLock(ComputeLock):
    """Waits no longer than a test may take."""

    TIMEOUT_S: ClassVar[float] = 0.2


def test_one_thread_computes_at_a_time() -> None:
    """A hundred machines would compete for the interpreter and lose scores."""
    lock, inside, most = ComputeLock(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with lock.hold():
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


@contextmanager
def thread_that_hangs(lock: ComputeLock) -> Iterator[None]:
    """A thread that holds the lock during the ``with`` block."""
    hanging, release = threading.Event(), threading.Event()

    def hang() -> None:
        with lock.hold():
            hanging.set()
            release.wait(30)

    thread = threading.Thread(target=hang)
    thread.start()
    assert hanging.wait(10)
    yield
    release.set()
    thread.join()


def test_a_thread_that_hangs_delays_others_once() -> None:
    """One machine that hangs would stop all others, or compute beside them when it is back."""
    lock = ShortLock()
    for _ in range(2):
        with thread_that_hangs(lock):
            begun_s = time.monotonic()
            for _ in range(1_000):
                with lock.hold():
                    pass
            assert 0.2 <= time.monotonic() - begun_s < 5.0
        with lock.hold():
            pass
