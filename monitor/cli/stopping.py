"""Commands that are stopped by a signal end in order: files are closed, folders removed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(BaseException):
    """A signal ended the command. No error: nothing between here and ``main`` catches it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = signal.Signals(number)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP raise ``Stopped`` in the main thread, as SIGINT raises an exception.

    Without this they end Python at once: a table ends in the middle of a line, and children and
    unfinished folders are left. A second signal ends it at once. Under nohup a hangup stays
    ignored. ``run`` and ``record`` replace these handlers with their own.
    """

    def on_signal(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Stopped(number)

    wanted = (signal.SIGTERM, signal.SIGHUP)
    before = {one: signal.getsignal(one) for one in wanted}
    for one, handler in before.items():
        if handler is signal.SIG_DFL:
            signal.signal(one, on_signal)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def end_by(number: signal.Signals) -> None:
    """End this process by the signal, so that its parent sees why: systemd expects this.

    It returns only if the signal is blocked.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
