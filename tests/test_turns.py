"""Turns: one thread at a time, and nobody waits for one that hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from monitor.compute_lock import Turns


class Impatient(Turns):
    """Waits no longer than a test may take."""

    PATIENCE_S: ClassVar[float] = 0.2


def test_one_at_a_time() -> None:
    """A hundred machines would fight for the interpreter instead of being heard."""
    turns, inside, most = Turns(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with turns.take():
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
def one_that_hangs(turns: Turns) -> Iterator[None]:
    """A thread that has its turn and does not end it."""
    hanging, release = threading.Event(), threading.Event()

    def hang() -> None:
        with turns.take():
            hanging.set()
            release.wait(30)

    thread = threading.Thread(target=hang)
    thread.start()
    assert hanging.wait(10)
    yield
    release.set()
    thread.join()


def test_one_that_hangs_is_waited_for_once() -> None:
    """One machine that hangs would silence all others, or be forgotten when it is back."""
    turns = Impatient()
    for _ in range(2):
        with one_that_hangs(turns):
            begun_s = time.monotonic()
            for _ in range(1_000):
                with turns.take():
                    pass
            assert 0.2 <= time.monotonic() - begun_s < 5.0
        with turns.take():
            pass
