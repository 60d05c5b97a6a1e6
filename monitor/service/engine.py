"""One thread that waits and computes for all machines, the one that is due for longest first.

A thread for each machine would cost most of the processor time: with a hundred of them, the
interpreter and the caches change hands with every block.
"""

from __future__ import annotations

import heapq
import logging
import math
import os
import select
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

from monitor.service.task import Closers, Entry, Task, run_slice
from monitor.sources.waiting import Wait, wait_for

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Load:
    """How busy the loop was for a time.

    ``waited_s``: how long tasks that were due have waited for their turn, on average. A task that
    never waits does not count. ``idle_s``: how long nothing was due.
    """

    waited_s: float
    idle_s: float


class Engine:
    """Runs tasks. Every method may be called from any thread.

    A task whose step hangs delays the others for ``HANGS_AFTER_S``. Then another thread continues
    with the others. When the step is over, the task comes back; after ``MOST_HANGS`` it keeps the
    thread. :meth:`relieve` must be called about every second for this.
    """

    HANGS_AFTER_S: ClassVar[float] = 2.0
    MOST_HANGS: ClassVar[int] = 3
    SLICE_S: ClassVar[float] = 0.01
    """A task that never waits lets others have their turn after this time."""

    PATIENCE_S: ClassVar[float] = 1.0
    """Others that become due in this time come before a task that does not wait."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._entries: dict[Task, Entry] = {}
        self._ready: list[tuple[float, int, int, Entry]] = []
        self._later: list[tuple[float, int, int, Entry]] = []
        self._by_descriptor: dict[int, Entry] = {}
        self._number = 0
        self._closers = Closers()
        self._is_stopped = False
        self._loop: threading.Thread | None = None
        self._current: tuple[Entry, float] | None = None
        self._waited_s, self._n_taken, self._idle_s = 0.0, 0, 0.0
        self._poll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._wake, select.EPOLLIN)

    def add(self, task: Task) -> None:
        """Run a task from now on."""
        with self._guard:
            entry = self._entries[task] = Entry(task)
            self._make_ready(entry, time.monotonic())
            if self._loop is None and not self._is_stopped:
                self._start_loop()
        self._wake_up()

    def wake(self, task: Task) -> None:
        """Do not wait any longer before the next step of a task."""
        with self._guard:
            entry = self._entries.get(task)
            if entry is None or not entry.is_waiting:
                return
            self._make_ready(entry, time.monotonic())
        self._wake_up()

    def remove(self, task: Task) -> None:
        """Close a task, after the step that it is in. Does not wait for it."""
        with self._guard:
            entry = self._entries.pop(task, None)
            if entry is None:
                return
            entry.stop.set()
            if not entry.is_waiting:
                return  # its thread closes it
            self._forget(entry)
        self._closers.close(entry.task)
        self._wake_up()

    def stop(self) -> None:
        """Begin no further step. Every task must still be removed.

        Without it, removing a thousand tasks takes seconds: the loop has the interpreter.
        """
        with self._guard:
            self._is_stopped = True
        self._wake_up()

    def relieve(self) -> None:
        """Let another thread continue if a step hangs."""
        with self._guard:
            if self._is_stopped:
                return
            current = self._current
            if self._loop is not None and not self._loop.is_alive():  # a bug ended it
                self._current = None
                if current is not None:
                    self._make_ready(current[0], current[1])
                self._start_loop()
                return
            if current is None or time.monotonic() - current[1] < self.HANGS_AFTER_S:
                return
            name = current[0].task.name
            log.warning("the machine hangs: the others go on", extra={"machine": name})
            self._current = None
            self._start_loop()

    def take_load(self) -> Load:
        """How it was since the last call."""
        with self._guard:
            waited_s = self._waited_s / self._n_taken if self._n_taken else 0.0
            load = Load(waited_s, self._idle_s)
            self._waited_s, self._n_taken, self._idle_s = 0.0, 0, 0.0
            return load

    def _start_loop(self) -> None:
        self._loop = threading.Thread(target=self._run, name="engine", daemon=True)
        self._loop.start()

    def _wake_up(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        """The loop. Ends when there is no task, or when another thread has taken over."""
        me = threading.current_thread()
        while True:
            with self._guard:
                if self._loop is not me:
                    return
                pause_s = self._pause_s(time.monotonic())
                if pause_s is None or self._is_stopped:
                    self._loop = None
                    return
            begun_s = time.monotonic()
            events = self._poll.poll(pause_s)
            now_s = time.monotonic()
            with self._guard:
                if self._loop is not me:
                    return
                if pause_s:
                    self._idle_s += now_s - begun_s
                self._take(events)
                entry = self._next(now_s)
            if entry is not None and not self._advance(entry, me):
                return

    def _advance(self, entry: Entry, me: threading.Thread) -> bool:
        """Run a slice of a task; whether this thread is still that of the loop."""
        wait = run_slice(entry.task, self.SLICE_S)
        with self._guard:
            is_loop = self._loop is me
            if wait is not None and not entry.is_removed and (is_loop or self._may_return(entry)):
                self._schedule(entry, wait)
                if is_loop:
                    self._current = None
                else:
                    self._wake_up()
                return is_loop
            if is_loop:
                self._current = None
            if wait is None or entry.is_removed:
                self._entries.pop(entry.task, None)
        if wait is None or entry.is_removed:
            self._closers.close(entry.task)
        else:
            self._go_on_alone(entry, wait)
        return is_loop

    def _may_return(self, entry: Entry) -> bool:
        """Whether a task that hung comes back to the others. Called with the guard."""
        entry.hangs += 1
        return entry.hangs < self.MOST_HANGS

    def _go_on_alone(self, entry: Entry, wait: Wait) -> None:
        """This thread is that of one task from now on, because it hangs again and again."""
        left: Wait | None = wait
        while left is not None and not entry.is_removed:
            wait_for(left, entry.stop)
            if not entry.is_removed:
                left = run_slice(entry.task, self.SLICE_S)
        with self._guard:
            self._entries.pop(entry.task, None)
        self._closers.close(entry.task)

    # All below is called with the guard.

    def _pause_s(self, now_s: float) -> float | None:
        """For how long nothing is due, -1 for ever; None if there is no task."""
        self._look_at_later(now_s)
        while self._ready and not self._is_valid(self._ready[0]):
            heapq.heappop(self._ready)
        if self._ready:
            return 0.0
        if not self._entries:
            return None
        return min(60.0, self._later[0][0] - now_s) if self._later else -1.0

    def _look_at_later(self, now_s: float) -> None:
        """What is due by now can run, or its descriptors are looked at."""
        while self._later and (self._later[0][0] <= now_s or not self._is_valid(self._later[0])):
            item = heapq.heappop(self._later)
            if self._is_valid(item):
                self._due(item[3], item[0], now_s)

    def _next(self, now_s: float) -> Entry | None:
        """The task that is due for longest."""
        self._look_at_later(now_s)
        while self._ready:
            item = heapq.heappop(self._ready)
            if self._is_valid(item):
                entry = item[3]
                entry.is_waiting = False
                if entry.ready_s >= item[0]:
                    self._waited_s += now_s - entry.ready_s
                    self._n_taken += 1
                self._current = entry, now_s
                return entry
        return None

    @staticmethod
    def _is_valid(item: tuple[float, int, int, Entry]) -> bool:
        return item[3].serial == item[2] and not item[3].is_removed

    def _schedule(self, entry: Entry, wait: Wait) -> None:
        now_s = time.monotonic()
        entry.wait = wait
        entry.serial += 1
        entry.is_waiting = True
        first_s = wait.not_before_s if wait.descriptors else wait.until_s
        if first_s > now_s:
            self._push(self._later, entry, first_s)
        elif wait.descriptors:
            self._due(entry, now_s, now_s)
        else:
            # One that paces itself is late; others would always go on at once.
            patience_s = 0.0 if wait.until_s > 0.0 else self.PATIENCE_S
            self._make_ready(entry, now_s + patience_s)

    def _due(self, entry: Entry, due_s: float, now_s: float) -> None:
        """It may run, or from now on also when a descriptor can be read."""
        wait = entry.wait
        if not wait.descriptors or wait.until_s <= now_s:
            self._make_ready(entry, due_s)
            return
        for descriptor in wait.descriptors:
            self._by_descriptor[descriptor] = entry
            try:
                self._poll.register(descriptor, select.EPOLLIN)
            except OSError:  # it cannot be waited for: the task finds out why
                self._make_ready(entry, due_s)
                return
        entry.serial += 1
        if wait.until_s < math.inf:
            self._push(self._later, entry, wait.until_s)

    def _take(self, events: list[tuple[int, int]]) -> None:
        now_s = time.monotonic()
        for descriptor, _ in events:
            if descriptor == self._wake:
                os.eventfd_read(self._wake)
            elif (entry := self._by_descriptor.get(descriptor)) is not None:
                self._make_ready(entry, now_s)

    def _make_ready(self, entry: Entry, due_s: float) -> None:
        self._forget(entry)
        entry.is_waiting = True
        entry.ready_s = time.monotonic()
        self._push(self._ready, entry, due_s)

    def _forget(self, entry: Entry) -> None:
        """It does not wait any more."""
        entry.serial += 1
        for descriptor in entry.wait.descriptors:
            if self._by_descriptor.pop(descriptor, None) is not None:
                with suppress(OSError):  # closed already
                    self._poll.unregister(descriptor)

    def _push(self, heap: list[tuple[float, int, int, Entry]], entry: Entry, due_s: float) -> None:
        self._number += 1
        heapq.heappush(heap, (due_s, self._number, entry.serial, entry))
