"""One monitored machine: takes its sound from the source to the outlet, step by step.

An error in a source, in a bundle or in this program interrupts this machine only.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import ClassVar

from monitor.backoff import Backoff
from monitor.domain import SourceState, SourceStatus
from monitor.errors import AuscultError
from monitor.evidence.recorder import Recorder
from monitor.learning.learner import Learner
from monitor.live.feed import LiveFeed
from monitor.service.engine import Engine
from monitor.service.intake import Intake
from monitor.service.machine_history import MachineHistory
from monitor.service.machine_plan import MachinePlan
from monitor.service.machine_report import MachineReport
from monitor.service.machine_sound import MachineSound
from monitor.service.outlet import Outlet
from monitor.service.running_signal import RunningSignal
from monitor.service.turns import Turn
from monitor.sources.own_thread import steps_of
from monitor.sources.protocol import RereadableSource, Source
from monitor.sources.settings import is_live, paces_itself
from monitor.sources.waiting import SteppedSource, Wait

log = logging.getLogger(__name__)

_ENDED = SourceState(SourceStatus.UNAVAILABLE, "ended", "the source has ended")
_STOPPED = SourceState(SourceStatus.UNAVAILABLE, "stopped", "Auscult was stopped")


class Machine:
    """What the engine runs for a machine.

    ``step`` and ``close`` are called by the engine; everything else may be used from any thread.
    """

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
        engine: Engine | None = None,
    ) -> None:
        """``source``: read from its beginning, and again after each failure.

        ``operation_file``: where running hours and starts are kept. ``history``, ``evidence`` and
        ``live``: None for none. ``engine``: None for one of its own.
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
        self._engine = engine or Engine()
        self._closed = threading.Event()
        self._paces_itself = paces_itself(plan.settings.source)
        self._intake = Intake(
            self._sound,
            self._report,
            may_join=isinstance(source, SteppedSource),  # others give one only after the last
            paces_itself=self._paces_itself,
        )
        self._steps = self._monitor()
        self._is_started = False
        self._available = True
        self._busy_since_s: float | None = None
        self._last_item_s = time.monotonic()
        self._first_block_s: float | None = None
        self._is_live = is_live(plan.settings.source)

    @property
    def name(self) -> str:
        """The id."""
        return self.id

    @property
    def state(self) -> SourceState:
        """What is published as the machine's state."""
        return self._report.state

    @property
    def computed_s(self) -> float:
        """Seconds of computing since the machine was started."""
        return self._sound.computed_s

    @property
    def may_rest(self) -> bool:
        """Whether sound arrives that would be lost or late if it is not taken now."""
        return self._is_live and self._available and self._first_block_s is not None

    @property
    def is_deciding(self) -> bool:
        """Whether the newest scores may soon raise an alert."""
        return self._sound.is_deciding

    @property
    def taken_s(self) -> float:
        """Seconds of sound that were processed so far."""
        return self._intake.taken_s

    def take_turn(self, turn: Turn) -> None:
        """Lose all sound from now on, or take it again."""
        before, self._intake.turn = self._intake.turn, turn
        if before is Turn.REST and turn is not Turn.REST:
            self._engine.wake(self)

    def coverage(self) -> dict[str, float]:
        """Seconds monitored, degraded and lost."""
        return self._report.coverage()

    def start(self) -> None:
        """Begin. The source may not be available yet."""
        self._report.publish_state()
        self._is_started = True
        self._engine.add(self)

    def attach(self, learner: Learner | None) -> None:
        """Give the sound also to ``learner``, for a machine that is learned."""
        self._sound.learner = self._report.learner = learner

    def adopt(self, plan: MachinePlan) -> None:
        """Use another bundle or stage from the next block on. The source continues."""
        self.plan = plan

    def ask_to_stop(self) -> None:
        """End soon. Does not wait for it."""
        self._stop.set()
        self._engine.remove(self)

    @property
    def is_alive(self) -> bool:
        """Whether it takes over what ``adopt`` gives."""
        return self._is_started and not self._closed.is_set() and not self.ended

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; returns whether it has come. If not, it publishes nothing more."""
        if self._is_started and not self._closed.wait(timeout_s):
            self._abandoned.set()
            return False
        return True

    def publish_state(self) -> None:
        """Publish the present state again."""
        self._report.publish_state()

    def publish_stopped(self) -> None:
        """Publish that monitoring has stopped. For a machine that has ended."""
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

    def step(self) -> Wait | None:
        """See ``Task``."""
        self._busy_since_s = time.monotonic()
        try:
            return next(self._steps, None)
        finally:
            self._busy_since_s = None

    def close(self) -> None:
        """See ``Task``."""
        try:
            self._steps.close()
            self._intake.flush(self.plan)
        finally:
            self._sound.end()
            self._report.end()
            self._closed.set()

    def _monitor(self) -> Generator[Wait, None, None]:
        """Read the source until closed; after a failure again, with growing pauses."""
        backoff = Backoff(self.LEAST_PAUSE_S, self.LONGEST_PAUSE_S)
        while True:
            self._first_block_s = None
            try:
                yield from self._monitor_stream()
                return
            except AuscultError as error:
                log.error("source failed: %s", error, extra={"machine": self.id})
                self._lost(SourceState(SourceStatus.UNAVAILABLE, "source_failed", str(error)))
            except Exception as error:  # a bug here must not end the other machines
                log.exception("internal error", extra={"machine": self.id})
                self._lost(SourceState(SourceStatus.UNAVAILABLE, "internal_error", repr(error)))
            if self._flowed_s() >= self.HEALTHY_AFTER_S:
                backoff.reset()
            yield Wait(time.monotonic() + backoff.next_s())

    def _flowed_s(self) -> float:
        """For how long this stream has given sound."""
        first_s = self._first_block_s
        return self._last_item_s - first_s if first_s is not None else 0.0

    def _monitor_stream(self) -> Generator[Wait, None, None]:
        """Process one stream of samples, numbered from 0, to its end or until closed."""
        self._intake.begin(self.plan)
        self._last_item_s = time.monotonic()
        last = _ENDED
        # Closed here: a traceback would keep the source, and its child, alive.
        with closing(steps_of(self._source)) as items:
            try:
                for item in items:
                    if isinstance(item, Wait):
                        yield self._intake.pause(item, self.plan, self._last_item_s)
                        continue
                    self._last_item_s = time.monotonic()
                    if isinstance(item, SourceState):
                        self._intake.flush(self.plan)
                        self._show(item)
                        last = item if item.status is SourceStatus.UNAVAILABLE else _ENDED
                    else:
                        if self._first_block_s is None:
                            self._first_block_s = self._last_item_s
                        self._available = True
                        self._intake.push(item, self.plan)
                    yield Wait(self._last_item_s) if self._paces_itself else Wait.NOW
            except Exception:
                self._intake.flush(self.plan)
                raise
        self._intake.flush(self.plan)
        if self._first_block_s is not None:
            self._sound.finish()
        self._lost(last)  # why there is no sound, if the source has ended for that reason
        self.ended = True

    def _show(self, state: SourceState) -> None:
        if state.status is SourceStatus.UNAVAILABLE:
            self._lost(state)
        else:  # the next block decides which state the machine has
            self._available = True

    def _lost(self, state: SourceState) -> None:
        if self._stop.is_set():
            return
        self._available = False
        self._report.absent()
        self._report.show(state)


def _ignore(_needed_s: float) -> None:
    """For a source that cannot be read again."""
