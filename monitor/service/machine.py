"""One monitored machine: a thread that takes its sound from the source to the outlet.

An error in a source, in a bundle or in this program interrupts this machine only.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from monitor.backoff import Backoff
from monitor.domain import SourceState, SourceStatus
from monitor.errors import AuscultError
from monitor.evidence.recorder import Recorder
from monitor.learning.learner import Learner
from monitor.live.feed import LiveFeed
from monitor.service.machine_history import MachineHistory
from monitor.service.machine_plan import MachinePlan
from monitor.service.machine_report import MachineReport
from monitor.service.machine_sound import MachineSound
from monitor.service.outlet import Outlet
from monitor.service.running_signal import RunningSignal
from monitor.sources.protocol import RereadableSource, Source, SourceItem

log = logging.getLogger(__name__)

_ENDED = SourceState(SourceStatus.UNAVAILABLE, "ended", "the source has ended")
_STOPPED = SourceState(SourceStatus.UNAVAILABLE, "stopped", "Auscult was stopped")


class Machine:
    """A machine's thread. Everything public may be used from any thread."""

    LEAST_PAUSE_S: ClassVar[float] = 1.0
    LONGEST_PAUSE_S: ClassVar[float] = 60.0
    HEALTHY_AFTER_S: ClassVar[float] = 5.0
    """After sound has come for this time, the next pause is the shortest one."""

    def __init__(
        self,
        plan: MachinePlan,
        source: Source,
        outlet: Outlet,
        *,
        operation_file: Path | None = None,
        history: MachineHistory | None = None,
        evidence: Recorder | None = None,
        live: LiveFeed | None = None,
    ) -> None:
        """``source``: read from its beginning, and again after each failure.

        ``operation_file``: where running hours and starts are kept. ``history``, ``evidence`` and
        ``live``: None for none.
        """
        self.plan = plan
        self.id = plan.settings.id
        self.ended = False
        """Whether a finite source has ended."""
        self._source = source
        self._report = MachineReport(
            self.id,
            plan.bundle,
            outlet,
            plan.score_interval_s,
            thresholds=plan.thresholds,
            operation=plan.settings.operation,
            operation_file=operation_file,
            duty=plan.duty,
            history=history,
        )
        operation = plan.settings.operation
        self.signal = RunningSignal(self.id, operation) if operation.topic else None
        """What shows that the machine runs, if it is not only the sound."""
        self._stop = threading.Event()
        self._abandoned = threading.Event()
        self._sound = MachineSound(
            plan,
            outlet,
            self._report,
            self.signal,
            set_needed=source.set_needed if isinstance(source, RereadableSource) else _ignore,
            is_abandoned=self._abandoned.is_set,
            evidence=evidence,
            live=live,
        )
        self._thread = threading.Thread(
            target=self._run_and_save, name=f"machine-{self.id}", daemon=True
        )
        self._available = True
        self._busy_since_s: float | None = None
        self._last_item_s = time.monotonic()
        self._first_block_s: float | None = None

    @property
    def state(self) -> SourceState:
        """What is published as the machine's state."""
        return self._report.state

    @property
    def computed_s(self) -> float:
        """Seconds of computing since the machine was started."""
        return self._sound.computed_s

    def coverage(self) -> dict[str, float]:
        """Seconds monitored, degraded and lost."""
        return self._report.coverage()

    def start(self) -> None:
        """Start the thread. The source may not be available yet."""
        self._report.publish_state()
        self._thread.start()

    def attach(self, learner: Learner | None) -> None:
        """Give the sound also to ``learner``, for a machine that is learned."""
        self._sound.learner = self._report.learner = learner

    def adopt(self, plan: MachinePlan) -> None:
        """Use another bundle or stage from the next block on. The source continues."""
        self.plan = plan

    def ask_to_stop(self) -> None:
        """Make the thread end soon, without waiting for it."""
        self._stop.set()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs, and takes over what ``adopt`` gives."""
        return self._thread.is_alive() and not self.ended

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; returns whether it has ended. If not, it publishes nothing more."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._abandoned.set()
            return False
        return True

    def publish_state(self) -> None:
        """Publish the present state again."""
        self._report.publish_state()

    def publish_stopped(self) -> None:
        """Publish that monitoring has stopped. For a machine whose thread has ended."""
        self._report.show(_STOPPED)

    def stalled(self, now_s: float) -> bool:
        """Whether the machine should have made progress and has not (monotonic ``now_s``).

        A source that has reported that it is unavailable is not stalled. A pipeline
        that does not return from a block is.
        """
        if self.ended:
            return False
        if (busy_since_s := self._busy_since_s) is not None:
            return now_s - busy_since_s > self.plan.stall_limit_s
        timeout_s = self._source.data_timeout_s
        if not self._available or timeout_s is None:
            return False
        return now_s - self._last_item_s > self.plan.stall_limit_s + timeout_s

    def _run_and_save(self) -> None:
        try:
            self._run()
        finally:
            self._sound.end()
            self._report.end()

    def _run(self) -> None:
        """Read the source until stopped; after a failure again, with growing pauses."""
        backoff = Backoff(self.LEAST_PAUSE_S, self.LONGEST_PAUSE_S)
        while not self._stop.is_set():
            self._first_block_s = None
            try:
                self._run_stream()
                return
            except AuscultError as error:
                log.error("source failed: %s", error, extra={"machine": self.id})
                self._lost(SourceState(SourceStatus.UNAVAILABLE, "source_failed", str(error)))
            except Exception as error:  # a bug here must not end the other machines
                log.exception("internal error", extra={"machine": self.id})
                self._lost(SourceState(SourceStatus.UNAVAILABLE, "internal_error", repr(error)))
            finally:
                self._busy_since_s = None
            if self._flowed_s() >= self.HEALTHY_AFTER_S:
                backoff.reset()
            self._stop.wait(backoff.next_s())

    def _flowed_s(self) -> float:
        """For how long this stream has given sound."""
        first_s = self._first_block_s
        return self._last_item_s - first_s if first_s is not None else 0.0

    def _run_stream(self) -> None:
        """Process one stream of samples, numbered from 0, to its end or until stopped."""
        self._sound.begin(self.plan)
        self._last_item_s = time.monotonic()
        items = self._source.blocks(self._stop)
        try:
            self._process_items(items)
        finally:
            if isinstance(items, Generator):  # a traceback would keep it, and its child, alive
                items.close()

    def _process_items(self, items: Iterator[SourceItem]) -> None:
        for item in items:
            is_first = self._sound.adopt(self.plan)
            self._busy_since_s = self._last_item_s = time.monotonic()
            if not isinstance(item, SourceState):
                if self._first_block_s is None:
                    self._first_block_s = self._last_item_s
                is_broken = is_first or item.discontinuous
                self._available = True
                self._sound.process(replace(item, discontinuous=is_broken))
            elif item.status is SourceStatus.UNAVAILABLE:
                self._lost(item)
            else:  # the next block decides which state the machine has
                self._available = True
            self._busy_since_s = None
        if not self._stop.is_set():
            if self._first_block_s is not None:
                self._sound.finish()
            self._lost(_ENDED)
            self.ended = True

    def _lost(self, state: SourceState) -> None:
        if self._stop.is_set():
            return
        self._available = False
        self._report.absent()
        self._report.show(state)


def _ignore(_needed_s: float) -> None:
    """For a source that cannot be read again."""
