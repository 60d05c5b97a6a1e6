"""One monitored machine: takes its sound from the source to the outlet, step by step.

An error in a source, in a bundle or in this program interrupts this machine only.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from monitor.backoff import Backoff
from monitor.domain import SourceState, SourceStatus
from monitor.errors import AuscultError
from monitor.evidence.recorder import Recorder
from monitor.learning.learner import Learner
from monitor.live.feed import LiveFeed
from monitor.service.engine import Engine
from monitor.service.joining import Block, BlockJoiner
from monitor.service.machine_history import MachineHistory
from monitor.service.machine_plan import MachinePlan
from monitor.service.machine_report import MachineReport
from monitor.service.machine_sound import MachineSound
from monitor.service.outlet import Outlet
from monitor.service.running_signal import RunningSignal
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
    LONGEST_JOINED_S: ClassVar[float] = 4.0
    REST_S: ClassVar[float] = 2.5
    """While sound is lost on purpose, the source is read so often, a full pipe more often."""
    MOST_LATE_S: ClassVar[float] = 10.0
    """No more sound than this is lost after a rest, if it never stops to come."""

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
        self._joiner = BlockJoiner()
        self._may_join = isinstance(source, SteppedSource)  # others give one only after the last
        self._steps = self._monitor()
        self._is_started = False
        self._available = True
        self._busy_since_s: float | None = None
        self._last_item_s = self._processed_s = time.monotonic()
        self._speed = 1.0
        """Seconds of sound that come in a second, at least 1."""
        self._first_block_s: float | None = None
        self._is_live = is_live(plan.settings.source)
        self._paces_itself = paces_itself(plan.settings.source)
        self._should_rest: bool | None = None
        self._is_losing = self._has_lost = False
        self._late_s = 0.0
        self.taken_s = 0.0
        """Seconds of sound that were processed so far."""

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

    def rest(self, is_resting: bool | None) -> None:  # one of three values
        """Lose all sound from now on, or take it again; None: there is computing time for all."""
        has_rested, self._should_rest = self._should_rest, is_resting
        if has_rested and not is_resting:
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
            self._process_joined()
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
        self._joiner.take()
        self._sound.begin(self.plan)
        self._last_item_s = time.monotonic()
        last = _ENDED
        # Closed here: a traceback would keep the source, and its child, alive.
        with closing(steps_of(self._source)) as items:
            try:
                for item in items:
                    if isinstance(item, Wait):
                        # All that came during a rest has been lost.
                        self._is_losing = self._should_rest is True
                        if self._joiner.seconds >= self._sound.wanted_s:
                            self._process_joined()
                        yield self._until_wanted(item)
                        continue
                    self._last_item_s = time.monotonic()
                    if isinstance(item, SourceState):
                        self._process_joined()
                        self._show(item)
                        last = item if item.status is SourceStatus.UNAVAILABLE else _ENDED
                    else:
                        self._take(item)
                    yield Wait(self._last_item_s) if self._paces_itself else Wait.NOW
            except Exception:
                self._process_joined()
                raise
        self._process_joined()
        if self._first_block_s is not None:
            self._sound.finish()
        self._lost(last)  # why there is no sound, if the source has ended for that reason
        self.ended = True

    def _show(self, state: SourceState) -> None:
        if state.status is SourceStatus.UNAVAILABLE:
            self._lost(state)
        else:  # the next block decides which state the machine has
            self._available = True

    def _take(self, block: Block) -> None:
        """Collect a block, and process what was collected when something comes of it."""
        if self._first_block_s is None:
            self._first_block_s = self._last_item_s
        self._available = True
        if self._should_rest or self._is_losing:
            self._lose(block)
            return
        joiner = self._joiner
        if not joiner.fits(block):
            self._process_joined()
        joiner.push(block, self._sound.seconds_of(block))
        # One that paces itself says when it has given all that is due.
        enough_s = self.LONGEST_JOINED_S if self._paces_itself else self._sound.wanted_s
        if not self._may_join or joiner.seconds >= enough_s:
            self._process_joined()

    def _lose(self, block: Block) -> None:
        """The present block is lost, and what was collected, so that others lose nothing."""
        self._joiner.take()
        if self._should_rest:
            self._is_losing, self._late_s = True, self.MOST_LATE_S
        else:  # it has waited since the rest
            self._late_s -= self._sound.seconds_of(block)
            self._is_losing = self._late_s > 0.0
        if not self._has_lost:
            self._has_lost = True
            self._report.absent()
            self._report.overloaded(is_on=True)

    def _process_joined(self) -> None:
        now_s, seconds = time.monotonic(), self._joiner.seconds
        block = self._joiner.take()
        if block is not None:
            if not self._paces_itself:
                self._speed = max(1.0, seconds / max(1e-3, now_s - self._processed_s))
            self._processed_s = now_s
            is_broken = self._sound.adopt(self.plan) or block.discontinuous or self._has_lost
            if self._has_lost:
                self._has_lost = False
                self._sound.rested()
            if self._should_rest is None:
                self._report.overloaded(is_on=False)
            self.taken_s += seconds
            self._sound.process(replace(block, discontinuous=is_broken))

    def _until_wanted(self, wait: Wait) -> Wait:
        """The same wait, where more sound is not wanted before some time has passed."""
        if not self._may_join:
            return wait
        if self._is_losing:
            wait = replace(wait, longest_s=2.0 * wait.longest_s)
            missing_s = self.REST_S
        else:
            missing_s = self._sound.wanted_s - self._joiner.seconds
        wanted_s = self._last_item_s + min(missing_s / self._speed, wait.longest_s)
        if wait.descriptors:
            return replace(wait, not_before_s=wanted_s)
        return replace(wait, until_s=max(wait.until_s, wanted_s))

    def _lost(self, state: SourceState) -> None:
        if self._stop.is_set():
            return
        self._available = False
        self._report.absent()
        self._report.show(state)


def _ignore(_needed_s: float) -> None:
    """For a source that cannot be read again."""
