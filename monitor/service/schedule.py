"""Which task is to run next, and for how long all of them wait."""

from __future__ import annotations

import heapq
import math
import os
import select
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

from monitor.service.task import Entry
from monitor.sources.waiting import Wait


@dataclass(frozen=True, slots=True)
class Load:
    """How busy the loop was for a time.

    ``waited_s``: how long tasks that were due have waited for their turn, on average. A task that
    never waits does not count. ``idle_s``: how long nothing was due.
    """

    waited_s: float
    idle_s: float


class Schedule:
    """The tasks that wait. ``wait`` and ``wake_up`` may be called from any thread, the rest not.

    State: the tasks that can run, those that can later (by time, each with the serial number that
    makes it valid), those whose descriptors are looked at, and the load since the last call.
    """

    PATIENCE_S: ClassVar[float] = 1.0
    """Others that become due in this time come before a task that does not wait."""

    def __init__(self) -> None:
        self._ready: list[tuple[float, int, int, Entry]] = []
        self._later: list[tuple[float, int, int, Entry]] = []
        self._by_descriptor: dict[int, Entry] = {}
        self._number = 0
        self._waited_s, self._n_taken, self._idle_s = 0.0, 0, 0.0
        self._poll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._wake, select.EPOLLIN)

    def wake_up(self) -> None:
        """End the present ``wait``, or the next one."""
        os.eventfd_write(self._wake, 1)

    def wait(self, seconds: float) -> list[tuple[int, int]]:
        """Wait for so long at most, -1 for ever. What is returned is for ``take``."""
        return self._poll.poll(seconds)

    def take(self, events: list[tuple[int, int]], waited_s: float) -> None:
        """What a wait of so long has given: tasks whose descriptors can be read are ready."""
        self._idle_s += waited_s
        now_s = time.monotonic()
        for descriptor, _ in events:
            if descriptor == self._wake:
                os.eventfd_read(self._wake)
            elif (entry := self._by_descriptor.get(descriptor)) is not None:
                self.make_ready(entry, now_s)

    def take_load(self) -> Load:
        """How it was since the last call."""
        waited_s = self._waited_s / self._n_taken if self._n_taken else 0.0
        load = Load(waited_s, self._idle_s)
        self._waited_s, self._n_taken, self._idle_s = 0.0, 0, 0.0
        return load

    def pause_s(self, now_s: float) -> float:
        """For how long nothing is due, -1 for ever."""
        self._look_at_later(now_s)
        while self._ready and not self._is_valid(self._ready[0]):
            heapq.heappop(self._ready)
        if self._ready:
            return 0.0
        return min(60.0, self._later[0][0] - now_s) if self._later else -1.0

    def next(self, now_s: float) -> Entry | None:
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
                return entry
        return None

    def add(self, entry: Entry, wait: Wait) -> None:
        """A task that waits for this."""
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
            self.make_ready(entry, now_s + patience_s)

    def make_ready(self, entry: Entry, due_s: float) -> None:
        """It can run, and is due since or at a monotonic time."""
        self.forget(entry)
        entry.is_waiting = True
        entry.ready_s = time.monotonic()
        self._push(self._ready, entry, due_s)

    def forget(self, entry: Entry) -> None:
        """It does not wait any more."""
        entry.serial += 1
        for descriptor in entry.wait.descriptors:
            if self._by_descriptor.pop(descriptor, None) is not None:
                with suppress(OSError):  # closed already
                    self._poll.unregister(descriptor)

    def _look_at_later(self, now_s: float) -> None:
        """What is due by now can run, or its descriptors are looked at."""
        while self._later and (self._later[0][0] <= now_s or not self._is_valid(self._later[0])):
            item = heapq.heappop(self._later)
            if self._is_valid(item):
                self._due(item[3], item[0], now_s)

    @staticmethod
    def _is_valid(item: tuple[float, int, int, Entry]) -> bool:
        return item[3].serial == item[2] and not item[3].is_removed

    def _due(self, entry: Entry, due_s: float, now_s: float) -> None:
        """It may run, or from now on also when a descriptor can be read."""
        wait = entry.wait
        if not wait.descriptors or wait.until_s <= now_s:
            self.make_ready(entry, due_s)
            return
        for descriptor in wait.descriptors:
            self._by_descriptor[descriptor] = entry
            try:
                self._poll.register(descriptor, select.EPOLLIN)
            except OSError:  # it cannot be waited for: the task finds out why
                self.make_ready(entry, due_s)
                return
        entry.serial += 1
        if wait.until_s < math.inf:
            self._push(self._later, entry, wait.until_s)

    def _push(self, heap: list[tuple[float, int, int, Entry]], entry: Entry, due_s: float) -> None:
        self._number += 1
        heapq.heappush(heap, (due_s, self._number, entry.serial, entry))
