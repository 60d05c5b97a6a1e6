"""The sound that the thread of a machine gives: counted, and cut into pieces."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from monitor.clock import local_time, rfc3339
from monitor.detection.duty_cycle import DutyPart
from monitor.detection.healthy_duty import PARTS_A_DAY
from monitor.detection.operation import OperationStatus
from monitor.domain import AudioBlock, Decision, Score
from monitor.learning.collector import Collector, PieceSound, level_dbfs
from monitor.learning.journal import CONFIGURED, MOST_ALARMS, Alarm, Journal, UnseenSound
from monitor.learning.piece_writer import PieceWriter
from monitor.learning.pieces import Piece, SoundClass
from monitor.learning.state import LearningState

MOST_PARTS = 14 * PARTS_A_DAY
"""Of ``Journal.duty``; the newest are kept."""


@dataclass(frozen=True, slots=True)
class _Received:
    """A processed block.

    ``scored_s``: how much of it was scored by a provisional bundle. ``operation``: by such a
    bundle, None without one. ``starts``: of the machine.
    """

    seconds: float
    kind: SoundClass | None
    scored_s: float
    decisions: list[Decision]
    operation: OperationStatus | None
    starts: int


class Reception:
    """Counts sound in the journal, and gives pieces of it to ``writer``.

    ``push`` is called by the machine's thread and does not wait: while another thread has the
    lock, sound is noted and is counted later. All other functions are called with the lock.
    """

    def __init__(self, state: LearningState, writer: PieceWriter) -> None:
        self._state = state
        self._writer = writer
        self._begin_collecting()
        self._uncounted: deque[_Received] = deque()

    def _begin_collecting(self) -> None:
        self._generation = self._state.generation
        self._collector = Collector(self._state.settings.piece_s, self._submit)

    def push(
        self,
        block: AudioBlock,
        *,
        usable: bool,
        operation: OperationStatus | None,
        scores: Sequence[Score],
        decisions: Sequence[Decision],
        starts: int,
        alarm_threshold: float,
        is_alarm: bool = False,
    ) -> None:
        """See ``Learner.push``."""
        journal = self._state.journal
        stage = journal.stage
        if self._generation != self._state.generation:  # what was received before is not learned
            self._begin_collecting()
        if not journal.collects:
            return
        usable = usable and not (is_alarm and stage == "armed")
        seconds = len(block.samples) / block.sample_rate_hz
        kind = self._classify(block, seconds, stage, usable=usable, operation=operation)
        scored_s = seconds if stage == "provisional" and scores and usable else 0.0
        known = operation if stage == "provisional" else None
        self._uncounted.append(
            _Received(seconds, kind, scored_s, list(decisions), known, starts if known else 0)
        )
        if self._state.lock.acquire(blocking=False):
            try:
                self.count()
            finally:
                self._state.lock.release()
        ratios = [score.value / alarm_threshold for score in scores] if alarm_threshold else []
        self._collector.push(block, kind, self._every_s(journal), ratios)

    def count(self) -> None:
        """Count what has been received, and what the bundle in use was not made from."""
        journal = self._state.journal
        while self._uncounted:
            received = self._uncounted.popleft()
            journal.heard_s += received.seconds
            if journal.stage == "collecting":
                journal.running_s = self._state.levels.running_s
            elif received.kind == "running":
                journal.running_s += received.seconds
            if (relearning := journal.relearning) is not None:
                relearning.collected_s += received.seconds if received.kind is not None else 0.0
                relearning.alarms += [
                    Alarm(journal.heard_s - one.span_s, journal.heard_s)
                    for one in received.decisions
                    if one.kind == "raised"
                ]
            if journal.stage == "provisional" and (received.scored_s or received.decisions):
                self._count_unseen(received)
            if journal.stage == "provisional" and received.operation is not None:
                self._count_duty(received, received.operation)

    def forget(self) -> None:
        """Do not count what has not been counted yet."""
        self._uncounted.clear()

    def _classify(
        self,
        block: AudioBlock,
        seconds: float,
        stage: str,
        *,
        usable: bool,
        operation: OperationStatus | None,
    ) -> SoundClass | None:
        if not usable or operation is OperationStatus.TRANSITION:
            return None
        if stage == "collecting":
            level = level_dbfs(block.samples)
            if operation is not None:  # a signal other than the sound decides
                level = 0.0 if operation is OperationStatus.RUNNING else -120.0
            return self._state.levels.push(level, seconds)
        return "quiet" if operation is OperationStatus.OFF else "running"

    def _every_s(self, journal: Journal) -> float:
        settings = self._state.settings
        beginning_s = math.inf
        if journal.stage == "collecting":
            beginning_s = 60.0 * settings.first_after_min
        elif journal.relearning is not None:
            beginning_s = journal.relearning.collect_s
        return min(settings.every_s, beginning_s / Collector.BEGINNING_PIECES)

    def _count_unseen(self, received: _Received) -> None:
        journal = self._state.journal
        day = int(journal.heard_s // self._state.day_s)
        unseen = next(iter(journal.unseen_by(journal.bundle, day)), None)
        if unseen is None:
            unseen = UnseenSound(journal.bundle or CONFIGURED, day)
            journal.unseen.append(unseen)
        unseen.scored_s += received.scored_s
        for decision in received.decisions:
            if decision.kind == "raised":
                unseen.n_alarms += 1
                if len(unseen.alarms) < MOST_ALARMS:
                    unseen.alarms.append(Alarm(journal.heard_s))
            elif decision.kind == "cleared":
                for alarm in (alarm for one in journal.unseen for alarm in one.alarms):
                    alarm.end_s = journal.heard_s if alarm.end_s is None else alarm.end_s

    def _count_duty(self, received: _Received, operation: OperationStatus) -> None:
        parts = self._state.journal.duty
        if not parts or parts[-1].observed_s >= self._state.day_s / PARTS_A_DAY:
            parts.append(DutyPart())
            del parts[:-MOST_PARTS]
        parts[-1].observed_s += received.seconds
        parts[-1].running_s += received.seconds * (operation is OperationStatus.RUNNING)
        parts[-1].starts += received.starts

    def _submit(self, sound: PieceSound) -> None:
        state = self._state
        ago_s = Collector.AFTER_S + sound.seconds
        start_unix_s = state.clock.unix_s() - ago_s
        start = datetime.fromtimestamp(start_unix_s, UTC)
        uncounted_s = sum(one.seconds for one in list(self._uncounted))
        heard_s = state.journal.heard_s + uncounted_s - ago_s
        piece = Piece(
            name=f"{start:%Y%m%dT%H%M%SZ}-{round(heard_s * 1000):012d}.flac",
            recorded_at=rfc3339(start_unix_s),
            heard_s=heard_s,
            day=int(heard_s // state.day_s),
            hour=local_time(start_unix_s).hour,
            kind=sound.kind,
            level_dbfs=round(sound.level_dbfs, 1),
            seconds=sound.seconds,
            ratio=sound.ratio,
        )
        self._writer.submit(sound, piece)
