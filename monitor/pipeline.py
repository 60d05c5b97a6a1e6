"""The pipeline of one machine: sound, features, scores, decisions.

No I/O, no clock, no threads. The output depends only on the samples, so live sound and a
recording of it give the same output. Blocks are cut at the cells of the signal check, so the
size of the blocks does not matter either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from monitor.audio.spectral_gaps import ShareOfGaps, share_of_gaps
from monitor.detection.operation import OperationChange, OperationFollower, OperationStatus
from monitor.detection.score_watch import ScoreWatch
from monitor.detection.settings import DetectorSettings, OperationSettings
from monitor.detection.short_parts import ShortParts
from monitor.detection.sound_windows import SoundWindows
from monitor.domain import (
    AudioBlock,
    Decision,
    LogMelBlock,
    LogMelWindow,
    MachineWarning,
    Score,
    SourceState,
    SourceStatus,
    block_times_s,
)
from monitor.errors import SourceFault
from monitor.features.spectra import Transform
from monitor.model.bundle import Bundle
from monitor.model.network import RunsWindows
from monitor.model.recording_score import RecordingScore
from monitor.model.scorer import Scorer

_OK = SourceState(SourceStatus.OK)
_WARMING = SourceState(SourceStatus.WARMING)
_OFF = SourceState(SourceStatus.OFF)
_UNUSUALLY_QUIET = MachineWarning(
    "unusually_quiet", "quieter than the running machine and not as quiet as off: not scored"
)
_LOWER_GAIN = (
    "counts as off, but the spectrum is that of the running machine, {:.0f} dB quieter: if the "
    "machine runs, raise the gain of the microphone"
)


@dataclass(slots=True)
class PipelineOutput:
    """The scores, decisions and changes of the machine's state that a block of sound gives.

    ``scores``: over the span of the bundle. ``channel_scores``: those of its other channels.
    ``windows``: all that the block has completed, scored or not.
    """

    scores: list[Score] = field(default_factory=list)
    channel_scores: list[Score] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    states: list[SourceState] = field(default_factory=list)
    operation: list[OperationChange] = field(default_factory=list)
    windows: list[LogMelWindow] = field(default_factory=list)


class Pipeline:
    """One machine, from its sound to its decisions.

    ``state`` is the present state of the machine. ``not_judged``: why the first sound was not
    scored that cannot be judged, if there was any. Positions in the output are samples at the rate
    of the bundle. ``decides_only``: while no alert is open, scores over long spans that are too low
    to decide anything may be upper bounds, which takes less time.
    """

    def __init__(
        self,
        bundle: Bundle,
        detector: DetectorSettings | None = None,
        network: RunsWindows | None = None,
        whole: RecordingScore | None = None,
        operation: OperationSettings | None = None,
        *,
        decides_only: bool = False,
        transform: Transform | None = None,
        share: ShareOfGaps = share_of_gaps,
        watch: ScoreWatch | None = None,
    ) -> None:
        """``transform`` makes windows of samples, in place of the usual one; ``share`` as well.

        ``watch`` follows the scores in place of one of ``detector`` and ``operation``.
        """
        operation, detector = operation or OperationSettings(), detector or DetectorSettings()
        spec = bundle.spec
        self.bundle = bundle
        self.state = _WARMING
        self.not_judged: SourceState | None = None
        self.watch = watch or ScoreWatch(bundle, detector, operation)
        self.thresholds = self.watch.thresholds
        self._parts = ShortParts("short_parts", self.watch.needs_s)
        self._runs = ShortParts("short_runs", self.watch.needs_s)
        self._sound = SoundWindows(bundle, transform, share)
        self._capture = self._sound.capture
        self._scorer = Scorer(bundle, network, whole, detector.min_fault_s)
        self._least_levels = self.watch.least_levels if decides_only else None
        self._scorer.allow_bounds(self._least_levels)
        states = bundle.manifest.operation
        is_followed = states is not None or operation.topic or operation.off_below_db is not None
        self._operation = OperationFollower(states, spec, operation) if is_followed else None
        self._status: OperationStatus | None = None
        self._warm = False

    @property
    def operation(self) -> OperationStatus | None:
        """Whether the machine runs; None before that is known."""
        return self._status

    @property
    def is_stopped(self) -> bool:
        """Whether nothing is scored because the machine is off, or starts or stops."""
        return self._status in {OperationStatus.OFF, OperationStatus.TRANSITION}

    @property
    def next_window_s(self) -> float:
        """How much more sound completes a window, apart from what the resampler holds back."""
        return self._sound.next_window_s

    @property
    def warnings(self) -> tuple[MachineWarning, ...]:
        """What is to be looked at, beside the state."""
        is_unclear = self._operation is not None and self._operation.is_unclear
        quiet = (_UNUSUALLY_QUIET,) if is_unclear else ()
        short = (*self._parts.warnings, *self._runs.warnings)
        watched = self.watch.warnings
        if self._operation is not None and (by_db := self._operation.quieter_running_db):
            watched = [one for one in watched if one.name != "level_shift"]
            watched.append(MachineWarning("level_shift", _LOWER_GAIN.format(by_db)))
        return (*quiet, *short, *watched)

    @property
    def capture_fault(self) -> SourceState | None:
        """Why the sound comes through a chain that the bundle cannot judge; None if it can."""
        return self._capture.fault if self._capture is not None else None

    def declare_running(self, is_running: bool | None) -> None:
        """Whether the machine runs, if something other than the sound shows it; else None."""
        if self._operation is not None:
            self._operation.declare(is_running)

    def push(self, block: AudioBlock | LogMelBlock) -> PipelineOutput:
        """Take the next block. Sound that cannot be judged gives a state and no score."""
        output = PipelineOutput()
        self._allow_bounds()
        start_s, end_s = block_times_s(block, self.bundle.spec.frame_rate_hz)
        if block.discontinuous:
            self._parts.end()
            self._gap()
        self._parts.push(end_s - start_s)
        try:
            if isinstance(block, LogMelBlock):
                self.watch.without_spectra()
            for part in self._sound.push(block):
                if isinstance(part, SourceState):
                    self._unjudged(part, output)
                else:
                    self._score(part, output)
        except SourceFault as fault:
            self._not_finite(fault, output)
        return output

    def finish(self) -> PipelineOutput:
        """End a recording: flush the resampler, and score a recording shorter than a span."""
        output = PipelineOutput()
        self._allow_bounds()
        try:
            self._finish(output)
        except SourceFault as fault:
            self._not_finite(fault, output)
        return output

    def _not_finite(self, fault: SourceFault, output: PipelineOutput) -> None:
        self._unjudged(SourceState(SourceStatus.DEGRADED, fault.reason, str(fault)), output)

    def _unjudged(self, why: SourceState, output: PipelineOutput) -> None:
        self.not_judged = self.not_judged or why
        self._gap()
        self._set_state(why, output)

    def _finish(self, output: PipelineOutput) -> None:
        if windows := self._sound.flush():
            self._score(windows, output)
        waiting = self._capture.finish() if self._capture is not None else []
        if waiting:
            self._follow_operation(waiting, output)
        held = self._operation.finish() if self._operation is not None else []
        if held:
            self._detect(self._scorer.scores(held), output)
        if self.operation in {None, OperationStatus.RUNNING} and (last := self._scorer.flush()):
            self._detect(last, output)

    def _score(self, windows: Sequence[LogMelWindow], output: PipelineOutput) -> None:
        """Score the windows, except those of a chain that the bundle cannot judge."""
        output.windows.extend(windows)
        check = self._capture
        if check is None:
            self._follow_operation(windows, output)
            return
        self._set_state(check.fault or self._machine_state(), output)
        for run in check.scorable(windows):
            if isinstance(run, SourceState):
                self.not_judged = self.not_judged or run
                self._interrupt()
                self._set_state(run, output)
            else:
                self._follow_operation(run, output)

    def _follow_operation(self, windows: Sequence[LogMelWindow], output: PipelineOutput) -> None:
        """Score the windows in which the machine runs."""
        if self._operation is None:
            self._detect(self._scorer.scores(windows), output)
            return
        for run in self._operation.follow(windows):
            if isinstance(run, OperationChange):
                self._change_operation(run, output)
            else:
                self._runs.push(len(run) * self.bundle.spec.window_hop_s)
                self._detect(self._scorer.scores(run), output)
        self._set_state(self._machine_state(), output)

    def _change_operation(self, change: OperationChange, output: PipelineOutput) -> None:
        output.operation.append(change)
        self._status = change.status
        if change.status is not OperationStatus.RUNNING:
            self._runs.end()
        self._interrupt()
        if change.status is OperationStatus.OFF:
            decision = self.watch.machine_stopped(change.end_sample)
            if decision is not None:
                output.decisions.append(decision)
                self._scorer.forget_long()
            self._allow_bounds()
        elif change.is_start:
            self.watch.machine_started(change.end_sample)
        self._set_state(self._machine_state(), output)

    def _gap(self) -> None:
        """Sound was lost: no window and no score may contain sound from before and after."""
        self._sound.gap()
        if self._operation is not None:
            self._operation.gap()
        self._interrupt()

    def _interrupt(self) -> None:
        """No score may contain sound from before and after."""
        self._warm = False
        self._scorer.reset()
        self.watch.gap()

    def _detect(self, scores: Iterable[Score], output: PipelineOutput) -> None:
        self._set_state(self._machine_state(), output)
        for score in scores:
            self._warm = self._warm or not score.channel
            (output.channel_scores if score.channel else output.scores).append(score)
            decision = self.watch.push(score)
            if decision is not None:
                output.decisions.append(decision)
                if decision.kind == "cleared":
                    self._scorer.forget_long()
                self._allow_bounds()
            self._set_state(self._machine_state(), output)

    def _allow_bounds(self) -> None:
        """While an alert is open, its scores are part of what is reported."""
        self._scorer.allow_bounds(None if self.watch.raised else self._least_levels)

    def _machine_state(self) -> SourceState:
        """The state of a machine whose source works."""
        if self.operation is OperationStatus.OFF:
            return _OFF
        return self.watch.state or (_OK if self._warm else _WARMING)

    def _set_state(self, state: SourceState, output: PipelineOutput) -> None:
        if state is self.state:
            return
        changed = state.differs(self.state)
        self.state = state
        if changed:
            output.states.append(state)
