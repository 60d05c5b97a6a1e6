"""The sound of one machine: from its blocks, through the pipeline, to what is published."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from monitor.clock import SYSTEM_CLOCK
from monitor.detection.operation import OperationChange, OperationStatus
from monitor.domain import AudioBlock, Decision, LogMelBlock, SourceState, SourceStatus
from monitor.evidence.recorder import Recorder
from monitor.learning.learner import Learner
from monitor.learning.unscored_pipeline import UnscoredPipeline
from monitor.live.feed import LiveFeed
from monitor.pipeline import Pipeline, PipelineOutput
from monitor.service.machine_plan import MachinePlan
from monitor.service.machine_report import MachineReport
from monitor.service.outlet import Outlet
from monitor.service.running_signal import RunningSignal

_WARNING = SourceState(
    SourceStatus.WARNING,
    "",
    "the score is above the alarm threshold; alerts begin when the machine is armed",
)
_BLIND = frozenset({SourceStatus.NO_SIGNAL, SourceStatus.DEGRADED})
_JUDGED = frozenset({SourceStatus.OK, SourceStatus.WARNING, SourceStatus.ANOMALY, SourceStatus.OFF})


class MachineSound:
    """Processes the blocks of one machine. Used by one thread at a time.

    ``set_needed``: called with how many seconds of the newest sound are needed again after a
    restart. ``is_abandoned``: whether nothing may be published any more.
    """

    LONGEST_WANTED_S: ClassVar[float] = 0.6
    STANDING_CHECK_S: ClassVar[float] = 60.0
    """How often to check for an open alert of an earlier process: its disk may be mounted late."""

    def __init__(
        self,
        plan: MachinePlan,
        outlet: Outlet,
        report: MachineReport,
        signal: RunningSignal | None,
        *,
        set_needed: Callable[[float], None],
        is_abandoned: Callable[[], bool],
        evidence: Recorder | None = None,
        live: LiveFeed | None = None,
    ) -> None:
        self.learner: Learner | None = None
        self._plan = plan
        self._outlet = outlet
        self._report = report
        self._signal = signal
        self._set_needed = set_needed
        self._is_abandoned = is_abandoned
        self._evidence = evidence
        self._live = live
        self.computed_s = 0.0
        """Seconds of computing: features, scores and decisions."""
        self._pipeline: Pipeline | UnscoredPipeline = UnscoredPipeline()
        self._standing_check_s = 0.0
        self._has_rested = False
        self.is_deciding = False
        """Whether the newest scores may soon raise an alert."""

    @property
    def wanted_s(self) -> float:
        """How much sound is worth processing: until then, nothing would come of it."""
        if self._live is not None and self._live.is_watched:
            return 0.0
        pipeline = self._pipeline
        if not isinstance(pipeline, Pipeline):
            return self.LONGEST_WANTED_S
        return min(self.LONGEST_WANTED_S, pipeline.next_window_s)

    def seconds_of(self, block: AudioBlock | LogMelBlock) -> float:
        """The length of a block."""
        return self._report.seconds_of(block)

    def begin(self, plan: MachinePlan) -> None:
        """A new stream begins: its samples are numbered from 0."""
        self._use(plan)
        self._report.begin_stream()
        if self._evidence is not None:
            self._evidence.begin_stream(self._report.unix_s)
        self._resume_standing_alert()
        self._set_needed(self._needed_s())

    def adopt(self, plan: MachinePlan) -> bool:
        """Process the next block by ``plan``; whether this is another plan."""
        if plan is self._plan:
            return False
        self._use(plan)
        self._resume_standing_alert()
        return True

    def rested(self) -> None:
        """The next block comes after a rest: until it is judged again, the state stays."""
        self._has_rested = True

    def process(self, block: AudioBlock | LogMelBlock) -> None:
        """Take the next block, and publish what it gives."""
        pipeline = self._pipeline
        self._report.arrived(block)
        if self._evidence is not None:
            self._evidence.push(block)
        if time.monotonic() >= self._standing_check_s:
            self._resume_standing_alert()
        if self._signal is not None:
            pipeline.declare_running(self._signal.is_running())
        begun_s = time.perf_counter()
        output = pipeline.push(block)
        self.computed_s += time.perf_counter() - begun_s
        # Published although a stop was requested meanwhile: it would not be decided again.
        if self._is_abandoned():
            return
        self._report.processed(
            block, scored=_is_scored(pipeline.state), operation=pipeline.operation
        )
        self._learn(block, output)
        self._show_evidence(output)
        self._show_live(block, output)
        self._report.warn(pipeline.warnings)
        self._publish(output)
        self._set_needed(0.0 if output.decisions else self._needed_s())
        self._report.show(self._shown(pipeline.state))
        self._has_rested &= pipeline.state.status is SourceStatus.WARMING
        self.is_deciding = self._is_deciding()

    def finish(self) -> None:
        """The stream has ended."""
        output = replace(self._pipeline.finish(), states=[])
        self._show_evidence(output)
        self._publish(output)
        if self._evidence is not None:
            self._evidence.ended("the recording ended")

    def end(self) -> None:
        """Nothing more comes until the next ``begin``."""
        if self._evidence is not None:
            self._evidence.ended("the monitoring was stopped")
        if self._live is not None:
            self._live.end()

    def _use(self, plan: MachinePlan) -> None:
        if plan is not self._plan:
            self._plan = plan
            self._report.use(plan.bundle, plan.thresholds, plan.duty)
        self._report.is_provisional = plan.is_provisional
        machine = plan.settings.id
        standing = None if plan.has_alerts else self._outlet.open_alert(machine)
        if standing is not None and (standing.reason != "off" or plan.bundle is None):
            self._outlet.alert(standing.cleared_now(SYSTEM_CLOCK))
        if self._evidence is not None:
            self._evidence.use(plan.judge)
        if self._live is not None:
            bundle, network = plan.bundle, plan.network
            self._live.use(
                bundle.spec if bundle is not None else None,
                bundle.sha256 if bundle is not None else "",
                network.reconstruct if network is not None else None,
            )
        self._pipeline = (
            UnscoredPipeline(plan.problem)
            if plan.bundle is None
            else Pipeline(
                plan.bundle,
                plan.detector,
                plan.network,
                operation=plan.settings.operation,
                decides_only=True,
            )
        )

    def _show_evidence(self, output: PipelineOutput) -> None:
        """Give the scores to the evidence, before an alert of the same block."""
        thresholds, bundle, operation = (
            self._plan.thresholds,
            self._plan.bundle,
            self._pipeline.operation,
        )
        if self._evidence is None or thresholds is None or bundle is None:
            return
        rate_hz = bundle.spec.sample_rate_hz
        self._evidence.scored(
            [(one.end_sample / rate_hz, one.value, thresholds.alarm) for one in output.scores],
            self._pipeline.state.status,
            operation.value if operation is not None else None,
        )

    def _show_live(self, block: AudioBlock | LogMelBlock, output: PipelineOutput) -> None:
        """Show the sound to those who look at it now."""
        live, thresholds = self._live, self._plan.thresholds
        if live is None or not live.is_watched:
            return
        scores = output.scores
        ratio = scores[-1].value / thresholds.alarm if scores and thresholds is not None else None
        live.push(block, output.windows, ratio=ratio, scored=_is_scored(self._pipeline.state))

    def _learn(self, block: AudioBlock | LogMelBlock, output: PipelineOutput) -> None:
        if self.learner is None or not isinstance(block, AudioBlock):
            return
        thresholds = self._plan.thresholds
        self.learner.push(
            block,
            usable=self._pipeline.state.status not in _BLIND,
            operation=self._pipeline.operation,
            scores=output.scores,
            decisions=output.decisions,
            starts=sum(change.is_start for change in output.operation),
            alarm_threshold=thresholds.alarm if thresholds is not None else 0.0,
            is_alarm=self._pipeline.state.status is SourceStatus.ANOMALY,
        )

    def _shown(self, state: SourceState) -> SourceState:
        """The state to publish: without alerts, an anomaly is a warning."""
        before = self._report.state
        is_warming = self._has_rested and state.status is SourceStatus.WARMING
        if is_warming and before.status in _JUDGED:
            return before
        if state.status is SourceStatus.ANOMALY and not self._plan.has_alerts:
            return _WARNING
        return state

    def _needed_s(self) -> float:
        """The newest sound from which the next alert may be raised."""
        pipeline = self._pipeline
        if not isinstance(pipeline, Pipeline) or pipeline.watch.raised:
            return 0.0
        if pipeline.operation is OperationStatus.OFF:
            return 0.0
        spec = pipeline.bundle.spec
        since_s = (pipeline.watch.undecided_since or 0) / spec.sample_rate_hz
        first_score_s = pipeline.bundle.actual_span_s + spec.window_hop_s
        return self._report.position_s - since_s + first_score_s

    def _is_deciding(self) -> bool:
        pipeline = self._pipeline
        if not isinstance(pipeline, Pipeline) or pipeline.watch.raised:
            return False
        since, spec = pipeline.watch.undecided_since, pipeline.bundle.spec
        if since is None:
            return False
        # Without a score over its threshold, it is where the newest one ends.
        return self._report.position_s - since / spec.sample_rate_hz > 3 * spec.window_hop_s

    def _resume_standing_alert(self) -> None:
        """Continue an alert that was raised before this stream began."""
        self._standing_check_s = time.monotonic() + self.STANDING_CHECK_S
        pipeline = self._pipeline
        if not isinstance(pipeline, Pipeline) or not self._plan.has_alerts:
            return
        machine = self._plan.settings.id
        standing = None if pipeline.watch.raised else self._outlet.open_alert(machine)
        if standing is not None and standing.reason != "off":
            rate_hz = pipeline.bundle.spec.sample_rate_hz
            at_sample = round(self._report.position_s * rate_hz)
            pipeline.watch.resume(standing.peak_score, standing.span_s, at_sample)

    def _publish(self, output: PipelineOutput) -> None:
        decisions = output.decisions if self._plan.has_alerts else ()
        events: list[Decision | OperationChange] = [*decisions, *output.operation]
        for event in sorted(events, key=_when):
            if isinstance(event, Decision):
                self._report.alert(event)
            else:
                self._report.operation(event)
        for state in output.states:
            self._report.show(self._shown(state))
        for score in output.scores:
            self._report.score(score)


def _when(event: Decision | OperationChange) -> int:
    return event.at_sample if isinstance(event, Decision) else event.end_sample


def _is_scored(state: SourceState) -> bool:
    """Whether the sound is judged in this state; that a machine is off is judged as well."""
    return state.status not in {*_BLIND, SourceStatus.LEARNING}
