"""What the engine runs: a task, where it waits, and a slice of its work."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import ClassVar, Protocol

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
    """A task and where it waits. ``serial``: of its valid entry in the heaps. ``ready_s``: since
    when it could run."""

    __slots__ = ("hangs", "is_waiting", "ready_s", "serial", "stop", "task", "wait")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.wait = Wait.NOW
        self.hangs = 0
        self.serial = 0
        self.ready_s = 0.0
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


class Closers:
    """Closes tasks in threads of their own. Every method may be called from any thread.

    Many tasks share these threads: to start one takes longer than most tasks take to close.
    """

    MOST_THREADS: ClassVar[int] = 64
    """As many programs that do not end at once do not delay the others."""

    STAYS_S: ClassVar[float] = 0.5
    """How long a thread waits for another task to close."""

    def __init__(self) -> None:
        self._guard = threading.Condition()
        self._waiting: deque[Task] = deque()
        self._n_threads = self._n_closing = 0

    def close(self, task: Task) -> None:
        """Close a task soon. Does not wait for it."""
        with self._guard:
            self._waiting.append(task)
            n_needed = min(self._n_closing + len(self._waiting), self.MOST_THREADS)
            if self._n_threads >= n_needed:
                self._guard.notify()
                return
            self._n_threads += 1
        threading.Thread(target=self._run, name="closing", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._guard:
                if not self._guard.wait_for(lambda: self._waiting, self.STAYS_S):
                    self._n_threads -= 1
                    return
                task = self._waiting.popleft()
                self._n_closing += 1
            try:
                task.close()
            except Exception:
                log.exception("internal error", extra={"machine": task.name})
            with self._guard:
                self._n_closing -= 1
