"""What is published about a machine: state, scores and alerts, with times and coverage."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any, ClassVar, Protocol

from monitor.alerts import Alert, AlertDraft
from monitor.audio.level import LevelMeter
from monitor.clock import SYSTEM_CLOCK, rfc3339
from monitor.detection.alert_draft import alert_draft
from monitor.domain import (
    AudioBlock,
    Decision,
    LogMelBlock,
    Score,
    SourceState,
    SourceStatus,
    block_times_s,
)
from monitor.model.bundle import Bundle
from monitor.service.coverage import Coverage
from monitor.service.stream_clock import StreamClock

log = logging.getLogger(__name__)


class Outlet(Protocol):
    """Where a machine's results go; every method may be called from any thread."""

    def open_alert(self, machine: str) -> Alert | None:
        """The alert that is raised now, possibly since before a restart."""

    def alert(self, draft: AlertDraft) -> Alert:
        """Write an alert to the outbox, which sends it."""

    def state(self, machine: str, payload: dict[str, Any]) -> None:
        """Publish the machine's state."""

    def score(self, machine: str, payload: dict[str, Any]) -> None:
        """Publish the newest score."""


class MachineReport:
    """Publishes one machine to the outlet.

    State: the last published state and its time, the clock and the level of the
    present stream, and the coverage of all streams.
    """

    STATE_INTERVAL_S: ClassVar[float] = 60.0
    """How often the state is published without a change, because the coverage changes."""

    def __init__(
        self, machine: str, bundle: Bundle, outlet: Outlet, score_interval_s: float
    ) -> None:
        self.state = SourceState(SourceStatus.WARMING, "starting")
        self._machine = machine
        self._bundle = bundle
        self._outlet = outlet
        self._score_interval_s = score_interval_s
        self._coverage = Coverage()
        self._since_s = SYSTEM_CLOCK.steady_s()
        self._state_due_s = 0.0
        self._score_due_s = 0.0
        self.begin_stream()

    def begin_stream(self) -> None:
        """Samples are counted from 0 again."""
        self._clock = StreamClock()
        self._level = LevelMeter()
        self._end_s = 0.0

    @property
    def position_s(self) -> float:
        """How much of the stream has arrived."""
        return self._end_s

    def arrived(self, block: AudioBlock | LogMelBlock) -> None:
        """A block came in: give it its wall time, and count the sound missing before it as lost."""
        start_s, end_s = block_times_s(block, self._bundle.spec.frame_rate_hz)
        recorded = block.recorded_unix_s if isinstance(block, AudioBlock) else None
        self._clock.observe(
            end_s,
            after_gap=block.discontinuous,
            recorded_start_unix_s=None if recorded is None else recorded - start_s,
        )
        self._coverage.present(time.monotonic(), max(0.0, start_s - self._end_s))
        self._end_s = end_s
        if isinstance(block, AudioBlock):
            self._level.push(block.samples)

    def processed(self, block: AudioBlock | LogMelBlock, *, scored: bool) -> None:
        """The pipeline has processed the block; ``scored``: whether it could be scored."""
        start_s, end_s = block_times_s(block, self._bundle.spec.frame_rate_hz)
        self._coverage.received(end_s - start_s, scored=scored)

    def absent(self) -> None:
        """No sound arrives from now on."""
        self._coverage.absent(time.monotonic())

    def coverage(self) -> dict[str, float]:
        """Seconds monitored, degraded and lost, as of now."""
        return self._coverage.seconds(time.monotonic())

    def show(self, state: SourceState) -> None:
        """Publish and log a state if it has changed, or publish it if it is time to repeat it."""
        if (state.status, state.reason) != (self.state.status, self.state.reason):
            self._since_s = SYSTEM_CLOCK.steady_s()
            self._state_due_s = 0.0
            self._log_change(state)
        self.state = state
        if time.monotonic() >= self._state_due_s:
            self.publish_state()

    def publish_state(self) -> None:
        """Publish the present state, also if it has not changed."""
        now_s = time.monotonic()
        self._state_due_s = now_s + self.STATE_INTERVAL_S
        standing = self._outlet.open_alert(self._machine)
        self._outlet.state(
            self._machine,
            {
                "state": self.state.status.value,
                "reason": self.state.reason,
                "detail": self.state.detail,
                "since": rfc3339(SYSTEM_CLOCK.unix_at(self._since_s)),
                "alert_id": standing.alert_id if standing else None,
                "coverage": self.coverage(),
            },
        )

    def score(self, score: Score) -> None:
        """Publish a score if it is time for the next one."""
        now_s = time.monotonic()
        if now_s < self._score_due_s:
            return
        self._score_due_s = now_s + self._score_interval_s
        self._outlet.score(
            self._machine,
            {
                "at": rfc3339(
                    self._clock.unix_s(score.end_sample / self._bundle.spec.sample_rate_hz)
                ),
                "score": score.value,
                "threshold": self._bundle.calibration.threshold,
                "loss": score.loss,
                "level_dbfs": self._level.read_dbfs(),
            },
        )

    def alert(self, decision: Decision) -> None:
        """Put an alert into the outbox."""
        alert = self._outlet.alert(
            replace(
                alert_draft(decision, self._bundle, self._machine, self._clock.unix_s),
                dated_by_clock=not self._clock.is_recorded,
            )
        )
        bands = {"bands_hz": alert.bands_hz} if alert.bands_hz else {}
        log.log(
            logging.INFO if alert.kind == "updated" else logging.WARNING,
            "alert %s",
            alert.kind,
            extra={
                "machine": self._machine,
                "alert_id": alert.alert_id,
                "score": round(alert.score, 3),
                "threshold": round(alert.threshold, 3),
                **bands,
            },
        )

    def _log_change(self, state: SourceState) -> None:
        expected = state.reason in {"ended", "stopped"}
        bad = not expected and state.status in {
            SourceStatus.UNAVAILABLE,
            SourceStatus.NO_SIGNAL,
            SourceStatus.DEGRADED,
        }
        reason = {"reason": state.reason, "detail": state.detail} if state.reason else {}
        log.log(
            logging.WARNING if bad else logging.INFO,
            "state %s",
            state.status,
            extra={"machine": self._machine, **reason, **self.coverage()},
        )
