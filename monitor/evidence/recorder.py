"""The evidence of one machine: its newest sound, and which moments of it are kept."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import ClassVar, Protocol

from monitor.alerts import Alert, AlertDraft
from monitor.clock import rfc3339
from monitor.domain import AudioBlock, LogMelBlock, SourceStatus
from monitor.evidence.alert_pieces import AlertPieces, DayLimit, Wanted
from monitor.evidence.clip import Clip, Judge, Request
from monitor.evidence.collector import Collector, Keeper
from monitor.evidence.settings import EvidenceSettings

log = logging.getLogger(__name__)

MUTED = "the machine was muted"


class RecorderKeeper(Keeper, Protocol):
    """Who writes what a recorder collects."""

    def now_s(self) -> float:
        """The running time."""

    def healthy(self, request: Request, clip: Clip) -> None:
        """Keep healthy sound, unless that of its operating state is new."""


class Recorder:
    """The evidence of one machine. Safe to use from any thread.

    ``is_muted``: nothing is kept of the time of a mute.
    """

    HEALTHY_S: ClassVar[float] = 10.0
    HEALTHY_AFTER_S: ClassVar[float] = 60.0
    """How long the machine must have been healthy before healthy sound is taken."""
    HEALTHY_EVERY_S: ClassVar[float] = 1800.0
    HEALTHY_RATIO: ClassVar[float] = 1.0
    """The highest mean score of healthy sound, divided by the threshold. Single scores of a
    healthy machine are above the threshold: it is that of scores which last."""

    def __init__(
        self,
        machine: str,
        settings: EvidenceSettings,
        keeper: RecorderKeeper,
        *,
        is_muted: Callable[[], bool] = lambda: False,
    ) -> None:
        self.lock = threading.RLock()
        """Held from the decision to keep a moment until its message has its id."""
        self._machine = machine
        self._keeper = keeper
        self._is_muted = is_muted
        self._limit = DayLimit(settings.max_per_day, self._day_is_full)
        self._judge: Judge | None = None
        self._unix_s: Callable[[float], float] = lambda _position_s: 0.0
        self._operation: str | None = None
        self._healthy_since_s: float | None = None
        self._healthy_due_s = 0.0
        self._settings = settings
        self._collector = Collector(settings, keeper)
        self._pieces = self._new_pieces()

    @property
    def n_bytes(self) -> int:
        """The memory that the sound takes."""
        return self._collector.n_bytes

    def configure(self, settings: EvidenceSettings) -> None:
        """Use other settings. Sound in memory is forgotten if its length changes."""
        with self.lock:
            if settings != self._settings:
                known = self._pieces
                self._collector.interrupt("the settings of [evidence] changed")
                self._settings = settings
                self._collector = Collector(settings, self._keeper)
                self._limit.most = settings.max_per_day
                self._pieces = self._new_pieces()
                self._pieces.continue_from(known)

    def kept_before(self, times_s: list[float]) -> None:
        """Pieces were kept at these running times: they count for the limit of a day."""
        with self.lock:
            self._limit.restore(times_s)

    def resume(self, alert: Alert, count: int) -> None:
        """An alert of an earlier process goes on; it has ``count`` pieces."""
        with self.lock:
            ratio = alert.peak_score / alert.threshold if alert.threshold > 0 else 0.0
            self._pieces.resume(alert.alert_id, count, ratio)

    # By the thread of the machine.

    def use(self, judge: Judge | None) -> None:
        """By what the machine is judged. None: it is not, and no sound is held."""
        with self.lock:
            self._judge = judge
            if judge is None:
                self._collector.interrupt("the machine is not judged any more")
                self._collector = Collector(self._settings, self._keeper)

    def begin_stream(self, unix_s: Callable[[float], float]) -> None:
        """Positions begin at 0. ``unix_s``: their Unix time."""
        with self.lock:
            self._collector.interrupt("the source was started again", 0)
            self._pieces.begin_stream()
            self._unix_s = unix_s
            self._healthy_since_s, self._healthy_due_s = None, 0.0

    def push(self, block: AudioBlock | LogMelBlock) -> None:
        """Take the next block, before the decisions that it leads to."""
        judge = self._judge
        if judge is None or not self._settings.is_on:
            return
        if self._is_muted():
            self._collector.skip(block, judge.spec.frame_rate_hz, MUTED)
        else:
            self._collector.push(block, judge.spec.frame_rate_hz)

    def scored(
        self,
        scores: Iterable[tuple[float, float, float]],
        status: SourceStatus,
        operation: str | None,
    ) -> None:
        """The scores of the block, before its alerts: position of the end, score, threshold.

        ``status``: of the machine after the block. ``operation``: whether it runs.
        """
        if self._judge is None or not self._settings.is_on or self._is_muted():
            return
        with self.lock:
            self._operation = operation
            for at_s, score, threshold in scores:
                self._collector.scored(at_s, score, threshold)
                ratio = score / threshold
                wanted = self._pieces.scored(ratio, at_s, self._keeper.now_s())
                if wanted is not None:
                    at = rfc3339(self._unix_s(at_s))
                    self._keep(wanted, at, at_s, 0.0, ratio)
                if status is not SourceStatus.OK:
                    self._healthy_since_s = None
                elif self._healthy_since_s is None:
                    self._healthy_since_s = at_s
            self._take_healthy()

    def ended(self, reason: str) -> None:
        """No more sound comes. ``reason``: a sentence for people."""
        self._collector.interrupt(reason)

    # By the outlet of alerts, with the lock.

    def before(self, draft: AlertDraft, *, goes_on: bool) -> tuple[AlertDraft, Wanted | None]:
        """The draft with the number of its newest piece, and what to keep.

        ``goes_on``: whether the draft belongs to the alert that is known.
        """
        if self._judge is None or not self._settings.is_on or draft.reason == "off":
            return draft, None
        if self._is_muted():
            if draft.kind == "cleared":
                self._pieces.ended()
            return draft, None
        at_s = self._position_of(draft)
        ratio = draft.score / draft.threshold if draft.threshold > 0 else 0.0
        wanted = self._pieces.decided(
            draft.kind, ratio, at_s, self._keeper.now_s(), goes_on=goes_on
        )
        if self._pieces.count:
            draft = replace(draft, evidence_number=self._pieces.count - 1)
        return draft, wanted

    def after(self, alert: Alert, wanted: Wanted | None) -> None:
        """The message has its id: keep what is wanted."""
        if alert.reason == "off":
            return
        self._pieces.alert_id = alert.alert_id
        if wanted is not None:
            at_s = self._position_of(alert)
            lasted_s = _seconds_between(alert.started_at, alert.at)
            ratio = alert.score / alert.threshold if alert.threshold > 0 else 0.0
            self._keep(wanted, alert.at, at_s, at_s - lasted_s, ratio)

    def expire(self) -> None:
        """Complete the clips for which no sound arrives. Call it about every second."""
        self._collector.expire()

    # Under the lock.

    def _day_is_full(self) -> None:
        log.warning(
            "no more evidence: evidence.max_per_day = %d is reached; the next piece is kept when "
            "the oldest of them is 24 hours old",
            self._limit.most,
            extra={"machine": self._machine},
        )

    def _new_pieces(self) -> AlertPieces:
        settings = self._settings
        return AlertPieces(settings.max_per_alert, settings.after_s, self._limit)

    def _position_of(self, draft: AlertDraft) -> float:
        return self._collector.position_s if draft.position_s is None else draft.position_s

    def _keep(self, wanted: Wanted, at: str, at_s: float, began_s: float, ratio: float) -> None:
        if self._judge is not None:
            self._collector.keep(
                Request(
                    machine=self._machine,
                    alert_id=self._pieces.alert_id,
                    number=wanted.number,
                    moment=wanted.moment,
                    at=at,
                    at_s=at_s,
                    began_s=began_s,
                    ratio=ratio,
                    judge=self._judge,
                    operation=self._operation,
                )
            )

    def _take_healthy(self) -> None:
        """Take healthy sound from time to time."""
        since_s, now_s = self._healthy_since_s, self._collector.position_s
        if since_s is None or now_s - since_s < self.HEALTHY_AFTER_S or now_s < self._healthy_due_s:
            return
        if self._operation not in {None, "running"} or self._judge is None:
            return
        clip = self._collector.newest(min(self.HEALTHY_S, self._settings.before_s))
        if clip is None:
            return
        ratios = [score / limit for _, score, limit in clip.scores]
        if not ratios or sum(ratios) / len(ratios) > self.HEALTHY_RATIO:
            return
        self._healthy_due_s = now_s + self.HEALTHY_EVERY_S
        at = rfc3339(self._unix_s(now_s))
        ratio = max(ratios)
        request = Request(
            self._machine,
            *("", 0, "raised", at, now_s, 0.0, ratio),
            self._judge,
            self._operation,
        )
        self._keeper.healthy(request, clip)


def _seconds_between(started_at: str, at: str) -> float:
    """The length of a fault so far; 0 if a time cannot be read."""
    try:
        return (datetime.fromisoformat(at) - datetime.fromisoformat(started_at)).total_seconds()
    except (ValueError, TypeError):
        return 0.0
