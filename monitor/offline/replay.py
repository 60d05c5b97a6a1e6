"""Recordings through the pipeline, with the scores and alerts that the daemon would give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor.alerts import Alert, AlertDraft
from monitor.audio.channel_choice import Channel
from monitor.audio.recordings import recording_blocks
from monitor.audio.spectral_gaps import share_of_gaps
from monitor.detection.alert_draft import alert_draft
from monitor.detection.operation import OperationStatus
from monitor.detection.score_watch import ScoreWatch
from monitor.detection.settings import DetectorSettings, OperationSettings
from monitor.domain import AudioBlock, LogMelBlock, Score, SourceState, block_times_s
from monitor.errors import BadInputError, MissingInputError
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.offline.ahead import Ahead
from monitor.pipeline import Pipeline, PipelineOutput


@dataclass(frozen=True, slots=True)
class RecordingSummary:
    """One row of ``--files``.

    ``score``: the anomaly score of the whole recording. ``threshold``: the threshold for such
    scores. ``alerts``: how many alerts were raised. ``error``: why there is no score; the score
    is then 0. ``not_judged``: why a part of it was not scored. ``operation``: ``running`` if
    something was scored, otherwise what the machine did in the whole recording, which then has no
    score; empty if the bundle has no states.
    """

    file: str
    seconds: float
    score: float
    threshold: float
    alerts: int
    error: str = ""
    exit_status: int = 0
    not_judged: str = ""
    operation: str = ""

    @property
    def is_scored(self) -> bool:
        """Whether there is a score: the recording was read, and the machine runs in it."""
        return not self.error and self.operation in {"", OperationStatus.RUNNING}

    @property
    def anomalous(self) -> bool:
        """Whether the score is over the threshold, or an alert was raised.

        A fault in a part of a long recording may raise an alert only.
        """
        return self.is_scored and (self.score > self.threshold or self.alerts > 0)


@dataclass(frozen=True, slots=True)
class ReplaySinks:
    """Receivers of scores and alerts as they come, so that nothing is kept in memory.

    Both are called with the file. ``alert`` also gets the position of the alert in the
    recording, in seconds.
    """

    score: Callable[[str, Score], None]
    alert: Callable[[str, AlertDraft, float], None]


@dataclass(frozen=True, slots=True)
class RaisedAlert:
    """An alert that a replay raised, at ``at_s`` seconds of its recording."""

    alert: Alert
    recording: Path
    at_s: float


DrawAlerts = Callable[[Bundle, Network, Sequence[RaisedAlert]], None]
"""Writes the pages of alerts. It belongs to the trainer, so the caller passes it in."""


def replay_recording(
    recording: Path,
    bundle: Bundle,
    network: Network,
    detector: DetectorSettings,
    sinks: ReplaySinks,
    *,
    machine: str,
    start_unix_s: float,
    operation: OperationSettings | None = None,
    channel: Channel = "mix",
    ahead: Ahead | None = None,
    watch: ScoreWatch | None = None,
    blocks: Iterable[AudioBlock | LogMelBlock] | None = None,
) -> RecordingSummary:
    """Score one recording as one stream that began at ``start_unix_s``.

    A recording that cannot be read to its end gives a summary with an error, after the scores
    of the part that could be read. Exceptions of the sinks are passed on. ``ahead``: processes that
    share the work; the results are the same. ``watch``: a new one, in place of one of ``detector``
    and ``operation``. ``blocks``: what is scored of the recording, by default all of it.
    """
    whole = bundle.recording_score()
    if blocks is None:
        blocks = recording_blocks(recording, bundle.spec, channel=channel)
    shared = ahead.recording() if ahead is not None else None
    pipeline = Pipeline(
        bundle,
        detector,
        shared or network,
        whole,
        operation,
        decides_only=True,
        transform=shared.windows if shared is not None else None,
        share=shared.share_of_gaps if shared is not None else share_of_gaps,
        watch=watch,
    )
    if shared is not None:
        blocks = shared.blocks(blocks)
    threshold = pipeline.thresholds.recording
    alerts, seconds = 0, 0.0
    not_judged: SourceState | None = None

    def take(output: PipelineOutput) -> int:
        for score in output.scores:
            sinks.score(str(recording), score)
        for decision in output.decisions:
            draft = alert_draft(
                decision, bundle, machine, lambda s: start_unix_s + s, replayed=True
            )
            sinks.alert(str(recording), draft, decision.at_sample / bundle.spec.sample_rate_hz)
        return sum(decision.kind == "raised" for decision in output.decisions)

    try:
        for block in blocks:
            _, seconds = block_times_s(block, bundle.spec.frame_rate_hz)
            alerts += take(pipeline.push(block))
            not_judged = not_judged or pipeline.not_judged or pipeline.capture_fault
        alerts += take(pipeline.finish())
        if whole.empty and not pipeline.is_stopped:
            raise BadInputError(nothing_to_score(recording, pipeline, seconds))
    except (BadInputError, MissingInputError) as error:
        return RecordingSummary(
            str(recording), seconds, 0.0, threshold, alerts, str(error), error.exit_status
        )
    reason = f"{not_judged.reason}: {not_judged.detail}" if not_judged is not None else ""
    state = (
        OperationStatus.RUNNING if pipeline.operation and not whole.empty else pipeline.operation
    )
    return RecordingSummary(
        str(recording),
        seconds,
        0.0 if whole.empty else whole.value,
        threshold,
        alerts,
        not_judged=reason,
        operation=str(state or ""),
    )


def nothing_to_score(recording: Path, pipeline: Pipeline, seconds: float) -> str:
    """Why a recording of ``seconds`` gave no score: no usable sound, or too short."""
    state = pipeline.state
    if state.reason:
        return f"{recording}: {state.detail}"
    needed_s = pipeline.bundle.spec.window_s
    return f"{recording}: {seconds:.2f} s is too short, at least {needed_s:.2f} s are needed"
