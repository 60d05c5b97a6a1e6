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
        self.state = LearningState(
            machine,
            settings,
            folder,
            per_week=per_week,
            has_configured_bundle=configured_bundle,
            clock=clock,
            day_s=day_s,
        )
        self._trainer = trainer or make_trainer(settings, folder / "work")
        self._writer = PieceWriter(self.state)
        self._reception = Reception(self.state, self._writer)
        self._steps = Steps(self.state, self._trainer, check_bundle, config)
        self._operators = OperatorActions(self.state, self._reception, self._steps)
        self._waits_for_disk = False
        self._progress = Progress(self.state, self._trainer)

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
    ) -> None:
        """A block has been processed. ``usable``: whether its signal is sound of the machine.

        ``operation``: whether the machine runs; None if only the level of the sound shows it.
        ``scores``, ``decisions``: those that the block gave, with their threshold for alarms.
        ``starts``: how often the machine started in the block.
        """
        self._reception.push(
            block,
            usable=usable,
            operation=operation,
            scores=scores,
            decisions=decisions,
            starts=starts,
            alarm_threshold=alarm_threshold,
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
