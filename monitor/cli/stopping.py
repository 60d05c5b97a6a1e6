"""Commands that are stopped by a signal end in order: files are closed, folders removed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_AGAIN_AFTER_S = 0.01


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

    Python drops an exception that is raised in a destructor or in a callback of a weak reference,
    such as those of the import system. The signal is then sent again, also SIGINT.
    """

    def on_signal(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Stopped(number)

    def on_dropped(dropped: sys.UnraisableHookArgs) -> None:
        end = dropped.exc_value
        if not isinstance(end, (KeyboardInterrupt, Stopped)):
            sys.__unraisablehook__(dropped)
            return
        number = signal.SIGINT
        if isinstance(end, Stopped):
            number = end.signal
            signal.signal(number, on_signal)
        again = threading.Timer(_AGAIN_AFTER_S, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()

    wanted = (signal.SIGTERM, signal.SIGHUP)
    before = {one: signal.getsignal(one) for one in wanted}
    for one, handler in before.items():
        if handler is signal.SIG_DFL:
            signal.signal(one, on_signal)
    sys.unraisablehook = on_dropped
    try:
        yield
    finally:
        sys.unraisablehook = sys.__unraisablehook__
        for one, handler in before.items():
            signal.signal(one, handler)


def end_behind(error: BaseException) -> BaseException | None:
    """The ``Stopped`` or ``KeyboardInterrupt`` from which ``error`` was made; None: there is none.

    A package that a signal interrupts while it is loaded raises ``ImportError``.
    """
    link: BaseException | None = error
    while link is not None and not isinstance(link, (KeyboardInterrupt, Stopped)):
        link = link.__cause__ or link.__context__
    return link


def end_by(number: signal.Signals) -> None:
    """End this process by the signal, so that its parent sees why: systemd expects this.

    It returns only if the signal is blocked.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
