"""What is published about a machine: state, scores and alerts, with times and coverage."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from monitor.alerts import AlertDraft
from monitor.audio.level import LevelMeter
from monitor.clock import SYSTEM_CLOCK, rfc3339
from monitor.detection.alert_draft import alert_draft
from monitor.detection.operation import OperationChange, OperationStatus
from monitor.detection.settings import OperationSettings
from monitor.detection.thresholds import Thresholds
from monitor.domain import (
    AudioBlock,
    Decision,
    LogMelBlock,
    MachineWarning,
    Score,
    SourceState,
    SourceStatus,
    block_times_s,
)
from monitor.learning.learner import Learner
from monitor.model.bundle import Bundle
from monitor.model.operation import HealthyDuty
from monitor.service.coverage import Coverage
from monitor.service.machine_history import MachineHistory
from monitor.service.operation_report import OperationReport
from monitor.service.outlet import Outlet, send_alert
from monitor.service.state_report import learning_payload, log_state, state_payload
from monitor.service.stream_clock import StreamClock

log = logging.getLogger(__name__)

_OVERLOAD = MachineWarning(
    "overload",
    "the computer is too slow for all machines: this one is monitored only for a part of the time",
)


class MachineReport:
    """Publishes one machine to the outlet.

    State: the last published state and its time, the warnings, the clock and the level of the
    present stream, and the coverage of all streams.
    """

    STATE_INTERVAL_S: ClassVar[float] = 60.0
    """How often the state is published without a change, because the coverage changes."""

    LATE_SCORES_S: ClassVar[float] = 5.0
    """After a delay, the scores of so many seconds may come at once."""

    def __init__(
        self,
        machine: str,
        bundle: Bundle | None,
        outlet: Outlet,
        score_interval_s: float,
        *,
        thresholds: Thresholds | None,
        operation: OperationSettings | None = None,
        operation_file: Path | None = None,
        duty: HealthyDuty | None = None,
        history: MachineHistory | None = None,
    ) -> None:
        """``bundle``: None while the machine is learned."""
        self._history = history or MachineHistory(machine)
        self.state = SourceState(SourceStatus.WARMING, "starting")
        self._machine = machine
        self.is_provisional = False
        self.learner: Learner | None = None
        self._outlet = outlet
        self._operation = OperationReport(
            machine,
            outlet,
            operation or OperationSettings(),
            operation_file,
            send=self._send,
            unix_s=lambda before_s: self._clock.unix_s(self._end_s - before_s),
        )
        self.use(bundle, thresholds, duty)
        self._score_interval_s = score_interval_s
        self._coverage = Coverage()
        self._warnings: tuple[MachineWarning, ...] = ()
        self._of_pipeline: Sequence[MachineWarning] = ()
        self._is_overloaded = False
        self._since_s = SYSTEM_CLOCK.steady_s()
        self._state_due_s = 0.0
        self._score_due_s = 0.0
        self._history.begin(self.state)
        self.begin_stream()

    def use(
        self,
        bundle: Bundle | None,
        thresholds: Thresholds | None,
        duty: HealthyDuty | None = None,
    ) -> None:
        """By what the machine is judged from now on."""
        self._bundle = bundle
        self._thresholds = thresholds
        self._frame_rate_hz = bundle.spec.frame_rate_hz if bundle is not None else 1.0
        self._history.bundle(bundle, thresholds)
        self._operation.use(bundle, thresholds, duty or HealthyDuty())

    def begin_stream(self) -> None:
        """Samples are counted from 0 again."""
        self._clock = StreamClock()
        self._level = LevelMeter()
        self._end_s = 0.0
        self._energy = self._missing_s = 0.0
        self._next_score_s = 0.0

    @property
    def position_s(self) -> float:
        """How much of the stream has arrived."""
        return self._end_s

    def unix_s(self, position_s: float) -> float:
        """The Unix time of a position in the stream. Only after the first block."""
        return self._clock.unix_s(position_s)

    def seconds_of(self, block: AudioBlock | LogMelBlock) -> float:
        """The length of a block."""
        start_s, end_s = block_times_s(block, self._frame_rate_hz)
        return end_s - start_s

    def arrived(self, block: AudioBlock | LogMelBlock) -> None:
        """A block arrived: set its time, and count the sound missing before it as lost."""
        start_s, end_s = block_times_s(block, self._frame_rate_hz)
        recorded = block.recorded_unix_s if isinstance(block, AudioBlock) else None
        late_s = self._clock.observe(
            end_s,
            after_gap=block.discontinuous,
            recorded_start_unix_s=None if recorded is None else recorded - start_s,
        )
        self._missing_s = max(0.0, start_s - self._end_s) + late_s
        self._coverage.present(time.monotonic(), self._missing_s)
        self._end_s = end_s
        if isinstance(block, AudioBlock):
            self._energy = self._level.push(block.samples)

    def processed(
        self,
        block: AudioBlock | LogMelBlock,
        *,
        scored: bool,
        operation: OperationStatus | None = None,
    ) -> None:
        """The pipeline has processed the block; ``scored``: whether it could be scored."""
        start_s, end_s = block_times_s(block, self._frame_rate_hz)
        self._coverage.received(end_s - start_s, scored=scored)
        self._operation.passed(end_s - start_s, operation)
        self._history.received(
            self._clock.unix_s(end_s),
            end_s - start_s,
            scored=scored,
            operation=operation,
            energy=self._energy,
            n_samples=len(block.samples) if isinstance(block, AudioBlock) else 0,
            missing_s=self._missing_s,
        )

    def operation(self, change: OperationChange) -> None:
        """Publish and log that the machine has started or stopped."""
        self._operation.changed(change)
        self._history.operation(change, self._recorded_unix_s())

    def warn(self, warnings: Sequence[MachineWarning]) -> None:
        """Publish and log the warnings if they have changed."""
        self._of_pipeline = warnings
        overload = (_OVERLOAD,) if self._is_overloaded else ()
        warnings = (*warnings, *self._operation.warnings, *overload)
        before, self._warnings = {one.name for one in self._warnings}, tuple(warnings)
        new = {one.name for one in warnings}
        if new == before:
            return
        for one in warnings:
            if one.name not in before:
                log.warning(
                    "warning %s", one.name, extra={"machine": self._machine, "detail": one.detail}
                )
        for name in sorted(before - new):
            log.info("warning %s has ended", name, extra={"machine": self._machine})
        began = [one for one in warnings if one.name not in before]
        self._history.warnings(began, before - new, self._recorded_unix_s())
        self._state_due_s = 0.0

    def overloaded(self, *, is_on: bool) -> None:
        """Whether sound of this machine is lost because the computer is too slow."""
        if is_on is not self._is_overloaded:
            self._is_overloaded = is_on
            self.warn(self._of_pipeline)
            self.show(self.state)

    def end(self) -> None:
        """Nothing more arrives: write the counts."""
        self._operation.save()
        self._history.flush()

    def absent(self) -> None:
        """No sound arrives from now on."""
        self._coverage.absent(time.monotonic())
        self._history.absent()

    def coverage(self) -> dict[str, float]:
        """Seconds monitored, degraded and lost, as of now."""
        return self._coverage.seconds(time.monotonic())

    def show(self, state: SourceState) -> None:
        """Publish and log a state if it has changed, or publish it if it is time to repeat it."""
        if state.differs(self.state):
            self._since_s = SYSTEM_CLOCK.steady_s()
            self._state_due_s = 0.0
            log_state(self._machine, state, self.coverage())
            self._history.state(state, self._recorded_unix_s())
        self.state = state
        if time.monotonic() >= self._state_due_s:
            self.publish_state()

    def publish_state(self) -> None:
        """Publish the present state, also if it has not changed."""
        now_s = time.monotonic()
        self._state_due_s = now_s + self.STATE_INTERVAL_S
        self._outlet.state(
            self._machine,
            state_payload(
                self.state,
                since=rfc3339(SYSTEM_CLOCK.unix_at(self._since_s)),
                warnings=self._warnings,
                standing=self._outlet.open_alert(self._machine),
                coverage=self.coverage(),
            )
            | learning_payload(self.learner, self.state.status, is_provisional=self.is_provisional),
        )
        self._operation.publish()

    def score(self, score: Score) -> None:
        """Publish a score if it is time for the next one, by the sound and by the clock."""
        now_s = time.monotonic()
        if self._bundle is None or self._thresholds is None:
            return
        self._history.score(score.value / self._thresholds.alarm)
        end_s = score.end_sample / self._bundle.spec.sample_rate_hz
        if end_s < self._next_score_s or now_s < self._score_due_s:
            return
        self._next_score_s = end_s + self._score_interval_s
        due_s = max(self._score_due_s, now_s - self.LATE_SCORES_S)
        self._score_due_s = due_s + self._score_interval_s
        self._outlet.score(
            self._machine,
            {
                "at": rfc3339(self._clock.unix_s(end_s)),
                "score": score.value,
                "threshold": self._thresholds.alarm,
                "warning_threshold": self._thresholds.warning,
                "ratio": score.value / self._thresholds.alarm,
                "loss": score.loss,
                "level_dbfs": self._level.read_dbfs(),
                "provisional": self.is_provisional,
            },
        )

    def alert(self, decision: Decision) -> None:
        """Put an alert into the outbox."""
        if self._bundle is not None:
            draft = alert_draft(decision, self._bundle, self._machine, self._clock.unix_s)
            self._send(replace(draft, provisional=self.is_provisional))

    def _send(self, draft: AlertDraft) -> None:
        offset_s = self._clock.offset_s()  # it may wait for locks and for the disk
        by_clock = not self._clock.is_recorded
        send_alert(self._outlet, replace(draft, dated_by_clock=by_clock, clock_offset_s=offset_s))

    def _recorded_unix_s(self) -> float | None:
        """The time of the newest sound, if a recording states it."""
        return self._clock.unix_s(self._end_s) if self._clock.is_recorded else None
