"""The threads of all targets: a target that hangs or fails does not delay another one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import ClassVar

from monitor.errors import AuscultError
from monitor.history.reader import HistoryReader
from monitor.notify.sending import Sending
from monitor.notify.target import Target
from monitor.outbox.waiting import WaitingAlerts

log = logging.getLogger(__name__)


class Worker:
    """A thread that calls ``turn`` of one target when it is due, or when it is woken."""

    ERROR_PAUSE_S: ClassVar[float] = 60.0

    def __init__(self, target: Target, longest_turn_s: float) -> None:
        """``longest_turn_s``: after this time in one turn, the thread has stopped working."""
        self.target = target
        self._longest_turn_s = longest_turn_s
        self._wake = threading.Event()
        self._stopping = False
        self._turn_began_s: float | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"notify {target.plan.name}", daemon=True
        )
        self._thread.start()

    def wake(self) -> None:
        """There may be something new."""
        self._wake.set()

    def hangs(self) -> bool:
        """Whether the thread has stopped working."""
        began_s = self._turn_began_s
        return not self._thread.is_alive() or (
            began_s is not None and time.monotonic() - began_s > self._longest_turn_s
        )

    def stop(self) -> None:
        """End after the turn that runs."""
        self._stopping = True
        self._wake.set()

    def join(self, timeout_s: float) -> None:
        """Wait until the thread has ended."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping:
            self._turn_began_s = time.monotonic()
            try:
                pause_s = self.target.turn()
            except Exception:  # a bug with one target must not stop the others
                log.exception("%s: internal error", self.target.plan.name)
                pause_s = self.ERROR_PAUSE_S
            self._turn_began_s = None
            self._wake.wait(pause_s)
            self._wake.clear()


class Workers:
    """The threads of all targets."""

    def __init__(
        self,
        targets: Sequence[tuple[Target, float]],
        history: HistoryReader,
        outbox: WaitingAlerts,
        sending: Sending,
    ) -> None:
        """``targets``: each with the longest time of a turn in seconds. ``history`` and ``outbox``:
        are looked at for what is new. ``sending``: is stopped first."""
        self._history = history
        self._outbox = outbox
        self._sending = sending
        self._looked_at: tuple[int, object] = -1, None
        self._workers = [Worker(target, longest_s) for target, longest_s in targets]

    @property
    def status(self) -> str:
        """One line about all targets."""
        return "; ".join(worker.target.status for worker in self._workers)

    def look(self) -> bool:
        """Wake the targets if there is something new. Returns whether all threads work."""
        try:
            position = self._history.last_position()
        except AuscultError:  # each target reports it
            position = -1
        looked_at = position, self._outbox.stamp()
        if looked_at != self._looked_at:
            self._looked_at = looked_at
            for worker in self._workers:
                worker.wake()
        hanging = [worker.target.plan.name for worker in self._workers if worker.hangs()]
        if hanging:
            log.error("no progress, the watchdog is not notified: %s", ", ".join(hanging))
        return not hanging

    def stop(self) -> None:
        """End the threads; attempts have a short time to end."""
        self._sending.stop()
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            worker.join(Sending.GRACE_S + 2.0)
