"""One thread that waits and computes for all machines, the one that is due for longest first.

A thread for each machine would cost most of the processor time: with a hundred of them, the
interpreter and the caches change hands with every block.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import ClassVar

from monitor.service.schedule import Load, Schedule
from monitor.service.task import Closers, Entry, Task, run_slice
from monitor.sources.waiting import Wait, wait_for

log = logging.getLogger(__name__)


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

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._entries: dict[Task, Entry] = {}
        self._schedule = Schedule()
        self._closers = Closers()
        self._is_stopped = False
        self._loop: threading.Thread | None = None
        self._current: tuple[Entry, float] | None = None

    def add(self, task: Task) -> None:
        """Run a task from now on."""
        with self._guard:
            entry = self._entries[task] = Entry(task)
            self._schedule.make_ready(entry, time.monotonic())
            if self._loop is None and not self._is_stopped:
                self._start_loop()
        self._schedule.wake_up()

    def wake(self, task: Task) -> None:
        """Do not wait any longer before the next step of a task."""
        with self._guard:
            entry = self._entries.get(task)
            if entry is None or not entry.is_waiting:
                return
            self._schedule.make_ready(entry, time.monotonic())
        self._schedule.wake_up()

    def remove(self, task: Task) -> None:
        """Close a task, after the step that it is in. Does not wait for it."""
        with self._guard:
            entry = self._entries.pop(task, None)
            if entry is None:
                return
            entry.stop.set()
            if not entry.is_waiting:
                return  # its thread closes it
            self._schedule.forget(entry)
        self._closers.close(entry.task)
        self._schedule.wake_up()

    def stop(self) -> None:
        """Begin no further step. Every task must still be removed.

        Without it, removing a thousand tasks takes seconds: the loop has the interpreter.
        """
        with self._guard:
            self._is_stopped = True
        self._schedule.wake_up()

    def relieve(self) -> None:
        """Let another thread continue if a step hangs."""
        with self._guard:
            if self._is_stopped:
                return
            current = self._current
            if self._loop is not None and not self._loop.is_alive():  # a bug ended it
                self._current = None
                if current is not None:
                    self._schedule.make_ready(current[0], current[1])
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
            return self._schedule.take_load()

    def _start_loop(self) -> None:
        self._loop = threading.Thread(target=self._run, name="engine", daemon=True)
        self._loop.start()

    def _run(self) -> None:
        """The loop. Ends when there is no task, or when another thread has taken over."""
        me = threading.current_thread()
        while True:
            with self._guard:
                if self._loop is not me:
                    return
                if not self._entries or self._is_stopped:
                    self._loop = None
                    return
                pause_s = self._schedule.pause_s(time.monotonic())
            begun_s = time.monotonic()
            events = self._schedule.wait(pause_s)
            now_s = time.monotonic()
            with self._guard:
                if self._loop is not me:
                    return
                self._schedule.take(events, now_s - begun_s if pause_s else 0.0)
                entry = self._schedule.next(now_s)
                if entry is not None:
                    self._current = entry, now_s
            if entry is not None and not self._advance(entry, me):
                return

    def _advance(self, entry: Entry, me: threading.Thread) -> bool:
        """Run a slice of a task; whether this thread is still that of the loop."""
        wait = run_slice(entry.task, self.SLICE_S)
        with self._guard:
            is_loop = self._loop is me
            if wait is not None and not entry.is_removed and (is_loop or self._may_return(entry)):
                self._schedule.add(entry, wait)
                if is_loop:
                    self._current = None
                else:
                    self._schedule.wake_up()
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
