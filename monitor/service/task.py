"""What the engine runs: a task, where it waits, and a slice of its work."""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol

from monitor.sources.waiting import Wait

log = logging.getLogger(__name__)


class Task(Protocol):
    """What the engine runs. Its methods are called by one thread at a time."""

    @property
    def name(self) -> str:
        """For the log."""

    def step(self) -> Wait | None:
        """Do some milliseconds of work; returns when to be called again, None at the end."""

    def close(self) -> None:
        """Called once, after the last step. It may take a second: others do not wait for it."""


class Entry:
    """A task and where it waits. ``serial``: of its valid entry in the heaps."""

    __slots__ = ("hangs", "is_waiting", "serial", "stop", "task", "wait")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.wait = Wait.NOW
        self.hangs = 0
        self.serial = 0
        self.is_waiting = False
        self.stop = threading.Event()

    @property
    def is_removed(self) -> bool:
        """Whether nothing more is wanted of it."""
        return self.stop.is_set()


def run_slice(task: Task, seconds: float) -> Wait | None:
    """Steps until it waits, at most for about so long."""
    end_s = time.monotonic() + seconds
    while True:
        try:
            wait = task.step()
        except Exception:
            log.exception("internal error", extra={"machine": task.name})
            return None
        if wait is None or wait.descriptors:
            return wait
        now_s = time.monotonic()
        if wait.until_s > now_s or now_s >= end_s:
            return wait


def close_aside(task: Task) -> None:
    """Close it in a thread of its own: it may wait for a program or a disk."""

    def close() -> None:
        try:
            task.close()
        except Exception:
            log.exception("internal error", extra={"machine": task.name})

    threading.Thread(target=close, name=f"closing-{task.name}", daemon=True).start()
