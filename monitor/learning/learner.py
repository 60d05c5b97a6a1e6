"""The learning of one machine: collects its sound, has bundles trained, and arms it."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from monitor.backoff import Backoff
from monitor.clock import SYSTEM_CLOCK, Clock, rfc3339
from monitor.detection.operation import OperationStatus
from monitor.domain import AudioBlock, Decision, Score
from monitor.errors import AuscultError, UsageError
from monitor.learning.collector import Collector, LevelClasses, PieceSound, level_dbfs
from monitor.learning.journal import (
    CONFIGURED,
    MOST_ALARMS,
    Alarm,
    Journal,
    LearnedBundle,
    NotLearned,
    UnseenSound,
    read_journal,
    write_journal,
)
from monitor.learning.pieces import Piece, PieceStore, SoundClass, most_crowded
from monitor.learning.rule import (
    alarms_of,
    most_alarms,
    next_step,
    pieces_that_do_not_fit,
)
from monitor.learning.settings import LearningSettings
from monitor.learning.trainer import ByHand, Job, Result, Trainer, make_trainer
from monitor.model.replacement import complete_folder, copy_files
from monitor.text.wording import counted, duration

log = logging.getLogger(__name__)

DAY_S = 86_400.0
_WAITING_PIECES = 4
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class _Heard:
    """A processed block. ``scored_s``: how much of it was scored by a provisional bundle."""

    seconds: float
    kind: SoundClass | None
    scored_s: float
    decisions: list[Decision]


class Learner:
    """The learning of one machine.

    ``push`` is called by the machine's thread, ``turn`` by the main thread about once a second,
    ``learn``, ``arm``, ``rollback`` and ``status`` by any thread. Pieces are written by a thread
    of its own; what does not fit into its queue is counted and lost.

    Days are days of received sound, so that a clock that is set, a restart and a pause change
    nothing. The clock only gives the hour of a piece and the dates in names.
    """

    SAVE_S: ClassVar[float] = 60.0
    """How often the progress is written between two steps, by a steady clock."""
    FIRST_PAUSE_S: ClassVar[float] = 60.0
    LONGEST_PAUSE_S: ClassVar[float] = 6 * 3600.0
    """Pauses after a failed training."""

    def __init__(
        self,
        machine: str,
        settings: LearningSettings,
        folder: Path,
        *,
        per_week: float = 1.0,
        config: Path | None = None,
        configured_bundle: bool = False,
        check_bundle: Callable[[Path], object] = Path.exists,
        trainer: Trainer | None = None,
        clock: Clock = SYSTEM_CLOCK,
        day_s: float = DAY_S,
    ) -> None:
        """``check_bundle`` raises ``AuscultError`` for a bundle that cannot be used.

        ``per_week``: the budget of false alarms. ``configured_bundle``: whether the machine also
        has a bundle in the configuration. Raises ``OSError`` where ``folder`` cannot be used.
        """
        self.machine = machine
        self.settings = settings
        self.per_week = per_week
        self.lost_pieces = 0
        self._folder = folder
        self._config = config
        self._has_configured = configured_bundle
        self._check_bundle = check_bundle
        self._clock = clock
        self._day_s = day_s
        self._lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)
        self._store = PieceStore(folder)
        self._trainer = trainer or make_trainer(settings, folder / "work")
        journal = read_journal(folder)
        if journal is None and configured_bundle:
            journal = Journal(stage="armed", bundle=CONFIGURED)
        self._journal = journal or Journal(began_at=self._now())
        self._levels = LevelClasses(self._journal.levels)
        self._collector = Collector(settings.piece_s, self._submit)
        self._waiting: queue.Queue[tuple[PieceSound, Piece] | None] = queue.Queue(_WAITING_PIECES)
        self._heard: deque[_Heard] = deque()
        self._writer = threading.Thread(target=self._write, name=f"learn-{machine}", daemon=True)
        self._backoff = Backoff(self.FIRST_PAUSE_S, self.LONGEST_PAUSE_S)
        self._try_again_s = 0.0
        self._save_due_s = 0.0
        self._trouble = ""
        self._disk_trouble = ""
        self._missing = ""
        self._job_started: LearnedBundle | None = None
        self._changed = False
        with self._lock:
            self._save()
        self._writer.start()

    # The machine's thread.

    def push(
        self,
        block: AudioBlock,
        *,
        usable: bool,
        operation: OperationStatus | None,
        scores: Sequence[Score] = (),
        decisions: Sequence[Decision] = (),
        alarm_threshold: float = 0.0,
    ) -> None:
        """A block has been processed. ``usable``: whether its signal is sound of the machine."""
        stage = self._journal.stage
        if stage == "armed":
            return
        seconds = len(block.samples) / block.sample_rate_hz
        kind = self._classify(block, seconds, stage, usable=usable, operation=operation)
        scored_s = seconds if stage == "provisional" and scores and usable else 0.0
        self._heard.append(_Heard(seconds, kind, scored_s, list(decisions)))
        if self._lock.acquire(blocking=False):  # otherwise it is counted with a later block
            try:
                self._count_heard()
            finally:
                self._lock.release()
        ratios = [score.value / alarm_threshold for score in scores] if alarm_threshold else []
        self._collector.push(block, kind, self._every_s(stage), ratios)

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
            return self._levels.push(level, seconds)
        return "quiet" if operation is OperationStatus.OFF else "running"

    def _every_s(self, stage: str) -> float:
        if stage != "collecting":
            return self.settings.every_s
        beginning_s = 60.0 * self.settings.first_after_min
        return min(self.settings.every_s, beginning_s / Collector.BEGINNING_PIECES)

    def _count_heard(self) -> None:
        """Count what has been received, and what the present bundle was not made from."""
        journal = self._journal
        while self._heard:
            heard = self._heard.popleft()
            journal.heard_s += heard.seconds
            if journal.stage == "collecting":
                journal.running_s = self._levels.running_s
            elif heard.kind == "running":
                journal.running_s += heard.seconds
            if journal.stage == "provisional" and (heard.scored_s or heard.decisions):
                self._count_unseen(heard)

    def _count_unseen(self, heard: _Heard) -> None:
        journal = self._journal
        day = int(journal.heard_s // self._day_s)
        unseen = next(iter(journal.unseen_by(journal.bundle, day)), None)
        if unseen is None:
            unseen = UnseenSound(journal.bundle or CONFIGURED, day)
            journal.unseen.append(unseen)
        unseen.scored_s += heard.scored_s
        for decision in heard.decisions:
            if decision.kind == "raised":
                unseen.n_alarms += 1
                if len(unseen.alarms) < MOST_ALARMS:
                    unseen.alarms.append(Alarm(journal.heard_s))
            elif decision.kind == "cleared":
                for alarm in (alarm for one in journal.unseen for alarm in one.alarms):
                    alarm.end_s = journal.heard_s if alarm.end_s is None else alarm.end_s

    def _submit(self, sound: PieceSound) -> None:
        ago_s = Collector.AFTER_S + sound.seconds
        start_unix_s = self._clock.unix_s() - ago_s
        start = datetime.fromtimestamp(start_unix_s).astimezone()
        heard_s = self._journal.heard_s + sum(one.seconds for one in list(self._heard)) - ago_s
        piece = Piece(
            name=f"{start:%Y%m%dT%H%M%S}-{round(heard_s * 1000):012d}.flac",
            recorded_at=rfc3339(start_unix_s),
            heard_s=heard_s,
            day=int(heard_s // self._day_s),
            hour=start.hour,
            kind=sound.kind,
            level_dbfs=round(sound.level_dbfs, 1),
            seconds=sound.seconds,
            ratio=sound.ratio,
        )
        try:
            self._waiting.put_nowait((sound, piece))
        except queue.Full:
            self.lost_pieces += 1

    # The writer's thread.

    def _write(self) -> None:
        while (item := self._waiting.get()) is not None:
            sound, piece = item
            try:
                with self._lock:
                    if self._journal.stage == "armed":
                        continue
                    self._store.add(sound.samples, sound.sample_rate_hz, piece)
                    self._disk_trouble = ""
            except OSError as error:
                self.lost_pieces += 1
                if not self._disk_trouble:
                    log.warning("a piece of sound cannot be kept: %s", error, extra=self._extra())
                self._disk_trouble = f"a piece of sound cannot be kept: {error}"
            except Exception:  # a bug here must not end the collection
                log.exception("internal error while a piece was written", extra=self._extra())
            finally:
                self._waiting.task_done()

    # The main thread.

    def turn(self) -> bool:
        """Do what is due. Whether the bundle or the stage of the machine has changed."""
        with self._lock:
            try:
                self._count_heard()
                self._advance()
                if self._clock.steady_s() >= self._save_due_s:
                    self._save()
            except OSError as error:
                if not self._disk_trouble:
                    log.warning("the learning waits for the disk: %s", error, extra=self._extra())
                self._disk_trouble = str(error)
            changed, self._changed = self._changed, False
            return changed

    def _advance(self) -> None:
        if (result := self._trainer.poll()) is not None:
            self._finished(result)
        trainer = self._trainer
        is_busy = trainer.is_running and not trainer.waits_for_a_person
        if is_busy or self._journal.stage == "armed":
            return
        self._thin()
        step = next_step(
            self._journal, self._store.accepted, self.settings, self.per_week, self._day_s
        )
        self._missing = step.reason if step.action == "wait" else ""
        is_due = not trainer.is_running and self._clock.steady_s() >= self._try_again_s
        if step.action == "train" and is_due:
            self._start_training(step.reason)
        elif step.action == "arm":
            self._arm(step.reason)

    def _thin(self) -> None:
        """Keep the space of the pieces within its limit. Never during a training."""
        left, bytes_left = self._store.pieces, self._store.n_bytes
        removed = []
        while bytes_left > self.settings.max_mb * 1e6 and left:
            piece = most_crowded(left)
            left.remove(piece)
            bytes_left -= piece.n_bytes
            removed.append(piece.name)
        if removed:
            self._store.remove(removed)

    def _start_training(self, reason: str) -> None:
        journal = self._journal
        if not self.settings.keep_outliers:
            aside = pieces_that_do_not_fit(self._store.pieces)
            known = {piece.name for piece in self._store.pieces if piece.aside}
            self._store.set_aside(aside)
            for name in sorted(aside.keys() - known):
                log.warning("piece %s is not learned: %s", name, aside[name], extra=self._extra())
        accepted = self._store.accepted
        self._job_started = LearnedBundle(
            *("", "", reason, journal.heard_s, journal.running_s, len(accepted))
        )
        job = Job(
            str(self._store.accepted_folder),
            self.per_week,
            str(self._config or ""),
            self.settings.keep_outliers,
        )
        log.info(
            "training with %s: %s", counted(len(accepted), "piece"), reason, extra=self._extra()
        )
        self._trainer.start(job)

    def _finished(self, result: Result) -> None:
        try:
            if result.bundle is None:
                self._failed(result.error)
                return
            self._check_bundle(result.bundle)
        except AuscultError as error:
            self._failed(str(error))
            return
        journal = self._journal
        name = self._new_name()
        target = self._folder / "bundles" / name
        with complete_folder(target) as folder:
            copy_files(result.bundle, folder)
        if isinstance(self._trainer, ByHand):
            self._trainer.taken()
        made = self._job_started or LearnedBundle(
            "", "", "trained before a restart", journal.heard_s, journal.running_s, 0
        )
        made.name, made.made_at = name, self._now()
        journal.bundles.append(made)
        journal.bundle, journal.unfit = name, result.unfit
        if journal.stage == "collecting":
            journal.stage = "provisional"
        self._backoff.reset()
        self._trouble = ""
        self._stage_changed(f"bundle {name} is in use: {made.reason}")

    def _failed(self, error: str) -> None:
        pause_s = self._backoff.next_s()
        self._try_again_s = self._clock.steady_s() + pause_s
        self._trouble = f"the training failed: {error}"
        log.error("%s; again in %s", self._trouble, duration(pause_s), extra=self._extra())

    def _arm(self, reason: str) -> None:
        self._trainer.stop()
        self._journal.stage, self._journal.armed_by = "armed", reason
        self._missing = self._trouble = ""
        self._stage_changed(f"armed: {reason}")
        self._name_what_is_aside()
        self._save()
        if not self.settings.keep:
            self._store.clear()

    def _name_what_is_aside(self) -> None:
        """Note the pieces that are not learned, for when the pieces are gone."""
        journal = self._journal
        journal.aside = [
            NotLearned(
                piece.name, piece.recorded_at, piece.aside or "it does not fit the other pieces"
            )
            for piece in self._store.pieces
            if piece.aside or piece.name in journal.unfit
        ]

    def _stage_changed(self, message: str) -> None:
        self._changed = True
        self._save()
        log.info("%s", message, extra=self._extra())

    # Operators.

    def learn(self, by: str) -> str:
        """Begin to learn again. Raises ``OSError``."""
        with self._lock:
            self._trainer.stop()
            bundles = self._journal.bundles
            self._journal = Journal(began_at=self._now(), bundles=bundles)
            self._levels = LevelClasses([])
            self._heard.clear()
            self._try_again_s = 0.0
            self._trouble = ""
            self._backoff.reset()
            self._stage_changed(f"learning begins, by {by}")
            self._store.clear()
            return "learns from now on; nothing is judged until the first bundle is there"

    def arm(self, by: str) -> str:
        """Arm now. Raises ``UsageError`` without a bundle."""
        with self._lock:
            if self._journal.bundle is None:
                raise UsageError(
                    f'machine "{self.machine}" has no bundle yet, so it cannot be armed: '
                    f"{self._missing or self._trouble or 'it is still learning'}"
                )
            if self._journal.stage == "armed":
                return "is armed already"
            self._arm(f"by {by}")
            return "armed: alerts from now on, nothing is learned any more"

    def rollback(self, by: str) -> str:
        """Return to the bundle before the one in use. Raises ``UsageError`` if there is none."""
        with self._lock:
            journal = self._journal
            names = [CONFIGURED] if self._has_configured else []
            names += [one.name for one in journal.bundles]
            at = names.index(journal.bundle) if journal.bundle in names else len(names)
            if at == 0:
                raise UsageError(f'machine "{self.machine}" has no earlier bundle')
            self._trainer.stop()
            journal.bundle = names[at - 1]
            if journal.stage == "collecting" or journal.bundle == CONFIGURED:
                journal.stage = "armed"
            if (bundle := journal.newest) is not None:  # the next training is due from now
                bundle.heard_s, bundle.running_s = journal.heard_s, journal.running_s
            shown = journal.bundle or "of the configuration"
            self._stage_changed(f"back to bundle {shown}, by {by}")
            return f"uses the bundle {shown} from now on"

    def status(self) -> dict[str, Any]:
        """The progress, for people and programs."""
        with self._lock:
            self._count_heard()
            journal = self._journal
            unseen = journal.unseen_by(journal.bundle)
            scored_s = sum(one.scored_s for one in unseen)
            pieces = self._store.pieces
            if journal.stage != "armed":
                self._name_what_is_aside()
            return {
                "stage": journal.stage,
                "training": self._trainer.is_running,
                "percent": self._percent(),
                "day": self._day(),
                "days": self.settings.days,
                "pieces": len(pieces),
                "megabytes": round(self._store.n_bytes / 1e6, 1),
                "lost_pieces": self.lost_pieces,
                "set_aside": len(journal.aside),
                "set_aside_pieces": [asdict(piece) for piece in journal.aside[-_MOST_NAMED:]],
                "unseen_s": round(scored_s, 1),
                "unseen_alarms": alarms_of(unseen, pieces),
                "most_alarms": most_alarms(self.per_week, scored_s),
                "bundle": journal.bundle,
                "bundles": len(journal.bundles),
                "text": self.progress(),
                "missing": self._missing,
                "trouble": self._trainer.advice or self._trouble or self._disk_trouble,
            }

    @property
    def stage(self) -> str:
        """``collecting``, ``provisional`` or ``armed``."""
        return self._journal.stage

    def progress(self) -> str:
        """The progress in one line."""
        with self._lock:
            if self._journal.stage != "armed":
                self._name_what_is_aside()
            n_aside = len(self._journal.aside)
            if self._journal.stage == "armed":
                return f"armed, {n_aside} pieces were set aside" if n_aside else "armed"
            parts = [
                f"learning {self._percent()} %",
                f"day {self._day()} of {self.settings.days:g}",
                counted(len(self._store.pieces), "piece"),
            ]
            if n_aside:
                parts.append(f"{n_aside} set aside")
            if self._trainer.is_running and not self._trainer.advice:
                parts.append("a bundle is being trained")
            elif self._missing:
                parts.append(f"still needed: {self._missing}")
            if trouble := self._trainer.advice or self._trouble or self._disk_trouble:
                parts.append(trouble)
            return ", ".join(parts)

    def flush(self) -> None:
        """Wait until the pieces so far are written, for sound faster than real time."""
        self._waiting.join()

    def stop(self) -> None:
        """End the threads and the training, and write the progress."""
        with self._lock:
            self._trainer.close()
        try:
            self._waiting.put(None, timeout=0.5)
        except queue.Full:
            log.warning("pieces of sound are lost at the end", extra=self._extra())
        self._writer.join(2.0)
        with self._lock:
            self._count_heard()
            try:
                self._save()
            except OSError as error:
                log.warning("the progress of the learning is not kept: %s", error)

    # Under the lock.

    def _percent(self) -> int:
        journal = self._journal
        if journal.stage == "armed":
            return 100
        if journal.stage == "collecting":
            share = journal.running_s / (60.0 * self.settings.first_after_min)
            return int(10 * min(1.0, share))
        return min(99, 10 + int(90 * journal.heard_s / (self.settings.days * self._day_s)))

    def _day(self) -> int:
        return int(self._journal.heard_s // self._day_s) + 1

    def _new_name(self) -> str:
        date = f"{datetime.fromtimestamp(self._clock.unix_s()).astimezone():%Y-%m-%d}"
        folder = self._folder / "bundles"
        folder.mkdir(exist_ok=True)
        taken = {path.name for path in folder.iterdir()}
        return next(name for n in range(1, len(taken) + 2) if (name := f"{date}-{n}") not in taken)

    def _save(self) -> None:
        self._save_due_s = self._clock.steady_s() + self.SAVE_S
        journal = self._journal
        journal.levels = [round(s, 2) for s in self._levels.seconds]
        if journal.stage == "armed" and journal.bundle == CONFIGURED and not journal.bundles:
            return  # nothing was ever learned
        write_journal(self._folder, journal)

    def _now(self) -> str:
        return rfc3339(self._clock.unix_s())

    def _extra(self) -> dict[str, str]:
        return {"machine": self.machine}
