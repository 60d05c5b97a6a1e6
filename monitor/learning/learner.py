"""The learning of one machine: collects its sound, has bundles trained, and arms it."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.detection.operation import OperationStatus
from monitor.domain import AudioBlock, Decision, Score
from monitor.learning.journal import Stage
from monitor.learning.operators import OperatorActions
from monitor.learning.piece_writer import PieceWriter
from monitor.learning.progress import Progress
from monitor.learning.reception import Reception
from monitor.learning.relearning.actions import RelearnActions
from monitor.learning.relearning.labelled_alerts import LabelledAlerts, no_labelled_alerts
from monitor.learning.relearning.scoring import MonitoredBy
from monitor.learning.relearning.scoring_process import Scoring, ScoringProcess
from monitor.learning.relearning.view import RelearnView
from monitor.learning.settings import LearningSettings
from monitor.learning.state import LearningState
from monitor.learning.steps import Steps
from monitor.learning.trainers.by_hand import ByHand
from monitor.learning.trainers.child import ChildTrainer
from monitor.learning.trainers.other_unit import OtherUnit, requests_folder
from monitor.learning.trainers.protocol import Trainer
from monitor.learning.trainers.train_command import PACKAGES

log = logging.getLogger(__name__)

DAY_S = 86_400.0
_BY_DEFAULTS = MonitoredBy()


class Learner:
    """The learning of one machine.

    ``push`` is called by the machine's thread, ``turn`` by the main thread about once a second,
    ``learn``, ``arm``, ``rollback`` and ``status`` by any thread. Pieces are written by a thread
    of their own; what does not fit into its queue is counted and lost.

    Days are days of received sound, so that a clock that is set, a restart and a pause change
    nothing. The clock only gives the hour of a piece and the dates in names.
    """

    def __init__(
        self,
        machine: str,
        settings: LearningSettings,
        folder: Path,
        *,
        per_week: float = 1.0,
        config: Path | None = None,
        monitored_by: MonitoredBy = _BY_DEFAULTS,
        check_bundle: Callable[[Path], object] = Path.exists,
        trainer: Trainer | None = None,
        scoring: Scoring | None = None,
        labelled: LabelledAlerts = no_labelled_alerts,
        clock: Clock = SYSTEM_CLOCK,
        day_s: float = DAY_S,
    ) -> None:
        """``check_bundle`` raises ``AuscultError`` for a bundle that cannot be used.

        ``per_week``: the budget of false alarms. ``labelled``: the alerts of the machine. Raises
        ``OSError`` where ``folder`` cannot be used.
        """
        self.state = LearningState(
            machine,
            settings,
            folder,
            per_week=per_week,
            has_configured_bundle=monitored_by.configured is not None,
            clock=clock,
            day_s=day_s,
        )
        self._trainer = trainer or make_trainer(settings, folder / "work")
        self._writer = PieceWriter(self.state)
        self._reception = Reception(self.state, self._writer)
        self._steps = Steps(
            self.state,
            self._trainer,
            check_bundle,
            config,
            monitored_by=monitored_by,
            labelled=labelled,
            scoring=scoring or ScoringProcess(folder / "scoring"),
        )
        self._operators = OperatorActions(self.state, self._reception, self._steps)
        relearn = self._steps.relearn
        self._relearn = RelearnActions(self.state, self._trainer, relearn)
        self._relearn_view = RelearnView(self.state, self._trainer, relearn)
        self._waits_for_disk = False
        self._progress = Progress(self.state, self._trainer, self._relearn_view)

    @property
    def stage(self) -> Stage:
        """How far the learning is."""
        return self.state.journal.stage

    def push(
        self,
        block: AudioBlock,
        *,
        usable: bool,
        operation: OperationStatus | None,
        scores: Sequence[Score] = (),
        decisions: Sequence[Decision] = (),
        starts: int = 0,
        alarm_threshold: float = 0.0,
        is_alarm: bool = False,
    ) -> None:
        """A block has been processed. ``usable``: whether its signal is sound of the machine.

        ``operation``: whether the machine runs; None if only the level of the sound shows it.
        ``scores``, ``decisions``: those that the block gave, with their threshold for alarms.
        ``starts``: how often the machine started in the block. ``is_alarm``: whether the machine
        is in an alarm.
        """
        self._reception.push(
            block,
            usable=usable,
            operation=operation,
            scores=scores,
            decisions=decisions,
            starts=starts,
            alarm_threshold=alarm_threshold,
            is_alarm=is_alarm,
        )

    def turn(self) -> bool:
        """Do what is due. Whether the bundle or the stage of the machine has changed."""
        state = self.state
        with state.lock:
            try:
                self._reception.count()
                self._steps.advance()
                state.save_if_due()
                if self._waits_for_disk:
                    self._waits_for_disk, state.disk_trouble = False, ""
            except OSError as error:
                self._waits_for_disk = True
                if not state.disk_trouble:
                    log.warning("the learning waits for the disk: %s", error, extra=state.log_extra)
                state.disk_trouble = str(error)
            return state.take_changed()

    def learn(self, by: str) -> str:
        """Begin to learn again; see ``OperatorActions``."""
        with self.state.lock:
            return self._operators.learn(by)

    def arm(self, by: str) -> str:
        """Arm now; see ``OperatorActions``."""
        with self.state.lock:
            return self._operators.arm(by)

    def rollback(self, by: str) -> str:
        """Return to the bundle before the one in use; see ``OperatorActions``."""
        with self.state.lock:
            return self._operators.rollback(by)

    def relearn(self, by: str, collect_s: float | None = None) -> str:
        """Have a new bundle made beside the one in use; see ``RelearnActions``."""
        with self.state.lock:
            return self._relearn.relearn(by, collect_s) or self._relearn_view.text()

    def relearn_accept(self, by: str) -> str:
        """Use the new bundle; see ``RelearnActions``."""
        with self.state.lock:
            return self._relearn.accept(by)

    def relearn_discard(self, by: str) -> str:
        """Do not use the new bundle; see ``RelearnActions``."""
        with self.state.lock:
            return self._relearn.discard(by)

    def relearning(self) -> dict[str, Any] | None:
        """The progress and the comparison of a new bundle, for programs; None without one.

        Raises ``OSError``.
        """
        with self.state.lock:
            fields = self._relearn_view.fields()
            if fields is None:
                return None
            return {**fields, "comparison": self._relearn_view.comparison()}

    def labels_changed(self) -> None:
        """An alert of the machine has another label, or its sound is kept now."""
        with self.state.lock:
            self._steps.relearn.confirmed.labels_changed()

    def status(self) -> dict[str, Any]:
        """The progress, for programs."""
        with self.state.lock:
            self._reception.count()
            return self._progress.fields(self._writer.n_lost)

    def progress(self) -> str:
        """The progress in one line."""
        with self.state.lock:
            return self._progress.text()

    def flush(self) -> None:
        """Wait until the pieces so far are written, for sound faster than real time."""
        self._writer.flush()

    def stop(self) -> None:
        """End the threads and the training, and write the progress."""
        state = self.state
        with state.lock:
            self._trainer.close()
            self._steps.relearn.stop()
        self._writer.stop()
        with state.lock:
            self._reception.count()
            try:
                state.save()
            except OSError as error:
                log.warning("the progress of the learning is not kept: %s", error)


def make_trainer(settings: LearningSettings, work: Path) -> Trainer:
    """The trainer of the settings. ``work``: its folder, ``STATE_DIR/learning/MACHINE/work``."""
    has_packages = all(importlib.util.find_spec(name) for name in PACKAGES)
    kind = settings.trainer
    if kind == "elsewhere" or (kind != "child" and not has_packages):
        return ByHand(work)
    if kind == "request":
        return OtherUnit(work, requests_folder(work.parents[2]), work.parent.name)
    return ChildTrainer(work, settings.memory_mb)
