"""The sound of a machine that has no bundle yet: only its signal is checked."""

from __future__ import annotations

from monitor.audio.scorable_parts import scorable_parts
from monitor.audio.signal_check import SignalCheck
from monitor.detection.operation import OperationStatus
from monitor.domain import AudioBlock, LogMelBlock, MachineWarning, SourceState, SourceStatus
from monitor.errors import SourceFault
from monitor.pipeline import PipelineOutput

_LEARNING = SourceState(SourceStatus.LEARNING)


class UnscoredPipeline:
    """In place of a ``Pipeline`` while there is no bundle.

    ``state``: that of the microphone if its signal is no sound, otherwise ``learning``, or
    ``degraded`` for a machine whose bundles cannot be used.
    """

    operation: OperationStatus | None = None
    """As declared; None without a declaration."""
    warnings: tuple[MachineWarning, ...] = ()

    def __init__(self, problem: str = "") -> None:
        """``problem``: why no bundle can be used; empty while there is none yet."""
        unusable = SourceState(SourceStatus.DEGRADED, "no_bundle", problem)
        self._usual = unusable if problem else _LEARNING
        self.state = self._usual
        self._check = SignalCheck()

    def declare_running(self, is_running: bool | None) -> None:
        """Whether the machine runs, by a signal other than the sound; None: not known."""
        known = OperationStatus.RUNNING if is_running else OperationStatus.OFF
        self.operation = None if is_running is None else known

    def push(self, block: AudioBlock | LogMelBlock) -> PipelineOutput:
        """Take the next block."""
        state = self._usual
        try:
            if isinstance(block, AudioBlock):
                for part in scorable_parts(self._check, block):
                    state = self._usual if isinstance(part, AudioBlock) else part
        except SourceFault as fault:
            state = SourceState(SourceStatus.DEGRADED, "not_finite", str(fault))
        output = PipelineOutput()
        if state.differs(self.state):
            output.states.append(state)
        self.state = state
        return output

    def finish(self) -> PipelineOutput:
        """The end of the stream."""
        return PipelineOutput()
