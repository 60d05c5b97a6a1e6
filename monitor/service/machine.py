"""One watched machine: a thread that carries its sound through the line.

Source to pipeline to outbox and publisher. A mistake in a source, in a bundle or
in this program stops this machine for a while and no other one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import ClassVar

from monitor.compute_lock import COMPUTING
from monitor.domain import AudioBlock, LogMelBlock, SourceState, SourceStatus
from monitor.errors import AuscultError
from monitor.pipeline import Pipeline, PipelineOutput
from monitor.service.machine_plan import MachinePlan
from monitor.service.machine_report import MachineReport, Outlet
from monitor.sources.protocol import SourceItem
from monitor.sources.registry import open_source

log = logging.getLogger(__name__)

_PATIENT_SOURCES = frozenset({"folder", "logmel"})
_STILL_JUDGED = frozenset({"level_shift", "drift"})
_ENDED = SourceState(SourceStatus.UNAVAILABLE, "ended", "the source has come to its end")
_STOPPED = SourceState(SourceStatus.UNAVAILABLE, "stopped", "Auscult was stopped")


class Machine:
    """A machine's thread. Everything public may be used from any thread."""

    LEAST_PAUSE_S: ClassVar[float] = 1.0
    LONGEST_PAUSE_S: ClassVar[float] = 60.0
    STANDING_CHECK_S: ClassVar[float] = 60.0
    """How often to ask for an alert of an earlier process: its disk may have come late."""

    def __init__(self, plan: MachinePlan, outlet: Outlet) -> None:
        self.plan = plan
        self.id = plan.settings.id
        self.ended = False
        """Whether a finite source has come to its end."""
        self._outlet = outlet
        self._report = MachineReport(self.id, plan.bundle, outlet, plan.score_interval_s)
        self._stop = threading.Event()
        self._left_behind = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"machine-{self.id}", daemon=True)
        self._available = True
        self._busy_since_s: float | None = None
        self._last_item_s = time.monotonic()
        self._standing_check_s = 0.0

    @property
    def state(self) -> SourceState:
        """What is published as the machine's state."""
        return self._report.state

    def coverage(self) -> dict[str, float]:
        """Seconds monitored, degraded and lost."""
        return self._report.coverage()

    def start(self) -> None:
        """Ask the source to start."""
        self._report.publish_state()
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Have the thread end soon, without waiting for it."""
        self._stop.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; whether it has ended. Nothing is told of the machine after it."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._left_behind.set()
            return False
        return True

    def publish_state(self) -> None:
        """Publish the present state again."""
        self._report.publish_state()

    def say_stopped(self) -> None:
        """Publish that nobody listens any more. For a machine whose thread has ended."""
        self._report.show(_STOPPED)

    def stalled(self, now_s: float) -> bool:
        """Whether the machine should have made progress and has not (monotonic ``now_s``).

        A source that has said that it is unavailable makes no progress and is no
        stall; a pipeline that does not come back from a block always is.
        """
        if self.ended:
            return False
        if (busy_since_s := self._busy_since_s) is not None:
            return now_s - busy_since_s > self.plan.stall_limit_s
        source = self.plan.settings.source
        if not self._available or source.kind in _PATIENT_SOURCES:
            return False
        allowed_s = self.plan.stall_limit_s + getattr(source, "silence_timeout_s", 0.0)
        return now_s - self._last_item_s > allowed_s

    def _run(self) -> None:
        """Listen until stopped; after a failure again, with growing pauses."""
        pause_s = self.LEAST_PAUSE_S
        while not self._stop.is_set():
            begun_s = time.monotonic()
            try:
                self._listen()
                return
            except AuscultError as error:
                log.error("source failed: %s", error, extra={"machine": self.id})
                self._lost(SourceState(SourceStatus.UNAVAILABLE, "source_failed", str(error)))
            except Exception as error:  # a bug here must not end the other machines
                log.exception("internal error", extra={"machine": self.id})
                self._lost(SourceState(SourceStatus.UNAVAILABLE, "internal_error", repr(error)))
            finally:
                self._busy_since_s = None
            if time.monotonic() - begun_s > self.LONGEST_PAUSE_S:
                pause_s = self.LEAST_PAUSE_S
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, self.LONGEST_PAUSE_S)

    def _listen(self) -> None:
        """Carry one stream of samples, numbered from 0, to its end or until stopped."""
        plan = self.plan
        pipeline = Pipeline(plan.bundle, plan.detector, plan.network)
        self._report.begin_stream()
        self._take_up_standing_alert(pipeline)
        self._last_item_s = time.monotonic()
        blocks = open_source(plan.settings.source).blocks(self._stop)
        try:
            self._carry(blocks, pipeline)
        finally:
            if isinstance(blocks, Generator):  # a traceback would keep it, and its child, alive
                blocks.close()

    def _carry(self, blocks: Iterator[SourceItem], pipeline: Pipeline) -> None:
        heard = False
        for item in blocks:
            self._busy_since_s = self._last_item_s = time.monotonic()
            if not isinstance(item, SourceState):
                self._hear(pipeline, item)
                heard = True
            elif item.status is SourceStatus.UNAVAILABLE:
                self._lost(item)
            else:  # what the machine's state is, the first block will tell
                self._available = True
            self._busy_since_s = None
        if not self._stop.is_set():
            if heard:
                self._tell(replace(pipeline.finish(), states=[]))
            self._lost(_ENDED)
            self.ended = True

    def _hear(self, pipeline: Pipeline, block: AudioBlock | LogMelBlock) -> None:
        self._available = True
        self._report.arrived(block)
        if time.monotonic() >= self._standing_check_s:
            self._take_up_standing_alert(pipeline)
        with COMPUTING.take():
            output = pipeline.push(block)
        # What was decided while a stop was asked for is still told: it would not be decided again.
        if self._left_behind.is_set():
            return
        self._report.judged(block, usable=_is_judged(pipeline.state))
        self._tell(output)
        self._report.show(pipeline.state)

    def _take_up_standing_alert(self, pipeline: Pipeline) -> None:
        """Go on with an alert that was raised before this stream began."""
        self._standing_check_s = time.monotonic() + self.STANDING_CHECK_S
        standing = None if pipeline.detector.raised else self._outlet.open_alert(self.id)
        if standing is not None:
            rate_hz = self.plan.bundle.spec.sample_rate_hz
            at_sample = round(self._report.position_s * rate_hz)
            pipeline.detector.resume(standing.peak_score, at_sample)

    def _tell(self, output: PipelineOutput) -> None:
        for decision in output.decisions:
            self._report.alert(decision)
        for state in output.states:
            self._report.show(state)
        for score in output.scores:
            self._report.score(score)

    def _lost(self, state: SourceState) -> None:
        if self._stop.is_set():
            return
        self._available = False
        self._report.absent()
        self._report.show(state)


def _is_judged(state: SourceState) -> bool:
    """Whether the machine could be judged by what was heard, however it was."""
    return state.reason in _STILL_JUDGED or state.status not in {
        SourceStatus.NO_SIGNAL,
        SourceStatus.DEGRADED,
    }
