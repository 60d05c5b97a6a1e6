"""Signals as commands in a queue, which the daemon's main loop reads."""

from __future__ import annotations

import queue
import signal
from types import FrameType
from typing import Any, Literal, Self

Command = Literal["stop", "reload"]

_MEANING: dict[signal.Signals, Command] = {
    signal.SIGTERM: "stop",
    signal.SIGINT: "stop",
    signal.SIGHUP: "reload",
}


class SignalQueue:
    """In its context, SIGTERM and SIGINT mean ``stop`` and SIGHUP means ``reload``.

    Enter it in the main thread. A second stop interrupts the orderly stop with
    ``KeyboardInterrupt``.
    """

    def __init__(self) -> None:
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._before: dict[signal.Signals, Any] = {}
        self._stopping = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in _MEANING}
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait(self, timeout_s: float) -> Command | None:
        """The next command, or ``None`` after ``timeout_s``."""
        try:
            return self._commands.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        command = _MEANING[signal.Signals(number)]
        if command == "stop":
            if self._stopping:
                raise KeyboardInterrupt
            self._stopping = True
        self._commands.put(command)
