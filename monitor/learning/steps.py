"""Does what ``rule.py`` decides: has bundles trained, takes them over, and arms the machine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from monitor.backoff import Backoff
from monitor.errors import AuscultError
from monitor.learning.journal import LearnedBundle
from monitor.learning.learned_bundles import store_bundle
from monitor.learning.relearning.labelled_alerts import LabelledAlerts
from monitor.learning.relearning.scoring import MonitoredBy
from monitor.learning.relearning.scoring_process import Scoring
from monitor.learning.relearning.steps import RelearnSteps
from monitor.learning.rule import next_step
from monitor.learning.sorting import pieces_while_off
from monitor.learning.state import LearningState
from monitor.learning.trainers.by_hand import ByHand
from monitor.learning.trainers.protocol import Job, Result, Trainer
from monitor.learning.upkeep import Upkeep
from monitor.text.wording import counted, duration

log = logging.getLogger(__name__)


class Steps:
    """The steps of one machine. All functions are called with the lock of ``state``.

    ``check_bundle`` raises ``AuscultError`` for a bundle that cannot be used. ``config``: the
    file of the daemon, for the training. ``relearn``: the steps of an armed machine.
    """

    FIRST_PAUSE_S: ClassVar[float] = 60.0
    LONGEST_PAUSE_S: ClassVar[float] = 6 * 3600.0
    """Pauses after a failed training."""

    def __init__(
        self,
        state: LearningState,
        trainer: Trainer,
        check_bundle: Callable[[Path], object],
        config: Path | None,
        *,
        monitored_by: MonitoredBy,
        labelled: LabelledAlerts,
        scoring: Scoring,
    ) -> None:
        self._state = state
        self._trainer = trainer
        self.check_bundle = check_bundle
        self._config = config
        self._backoff = Backoff(self.FIRST_PAUSE_S, self.LONGEST_PAUSE_S)
        self._try_again_s = 0.0
        self._job_started: LearnedBundle | None = None
        self._upkeep = Upkeep(state)
        self.relearn = RelearnSteps(
            state,
            trainer,
            self._upkeep,
            check_bundle=check_bundle,
            config=config,
            monitored_by=monitored_by,
            labelled=labelled,
            scoring=scoring,
        )

    def advance(self) -> None:
        """Do what is due. Raises ``OSError``."""
        state, trainer = self._state, self._trainer
        if (result := trainer.poll()) is not None:
            take = self.relearn.trained if state.journal.stage == "armed" else self._finished
            take(result)
        if state.journal.stage == "armed":
            self._upkeep.end_learning()
            self.relearn.advance()
            return
        if trainer.is_running and not trainer.waits_for_a_person:
            return
        space = self._upkeep.limit_space()
        step = next_step(
            state.journal, state.store.pieces, state.settings, state.per_week, state.day_s
        )
        state.missing = space or (step.reason if step.action == "wait" else "")
        is_due = not trainer.is_running and state.clock.steady_s() >= self._try_again_s
        if step.action == "train" and is_due:
            if trainer.can_start:
                self._start_training(step.reason)
            else:
                state.missing = "the end of the training of another machine"
        elif step.action == "arm":
            self.arm(step.reason)

    def arm(self, reason: str) -> None:
        """End the learning. Raises ``OSError``."""
        state = self._state
        with state.unchanged_if_not_saved():
            state.journal.stage, state.journal.armed_by = "armed", reason
            state.name_what_is_aside()
            state.stage_changed(f"armed: {reason}")
        self._trainer.stop()
        state.missing = state.trouble = ""
        self._upkeep.end_learning()

    def end_training(self) -> None:
        """End a training that runs; its result is not used."""
        self._trainer.stop()

    def forget_failures(self) -> None:
        """Do not wait after a failed training."""
        self._try_again_s = 0.0
        self._backoff.reset()

    def _start_training(self, reason: str) -> None:
        state = self._state
        self._upkeep.forget_lost()
        self._correct_what_was_off()
        self._upkeep.set_outliers_aside()
        journal, accepted = state.journal, state.store.accepted
        self._job_started = LearnedBundle(
            *("", "", reason, journal.heard_s, journal.running_s, len(accepted))
        )
        job = Job(
            str(state.store.accepted_folder),
            state.per_week,
            str(self._config or ""),
            state.settings.keep_outliers,
        )
        log.info(
            "training with %s: %s",
            counted(len(accepted), "piece"),
            reason,
            extra=state.log_extra,
        )
        self._trainer.start(job)

    def _correct_what_was_off(self) -> None:
        """If the last bundle was made while the machine was off, discard what it showed."""
        state, bundle = self._state, self._state.journal.newest
        pieces = state.store.pieces
        while_off = pieces_while_off(bundle, pieces) if bundle is not None else set()
        if not while_off:
            return
        state.store.change(
            replace(one, kind="quiet" if one.name in while_off else one.kind, ratio=None)
            for one in pieces
        )
        state.journal.duty = []

    def _finished(self, result: Result) -> None:
        if result.bundle is None:
            if not self._upkeep.remove_unusable(result.unusable):
                self._failed(result.error)
            return
        try:
            self.check_bundle(result.bundle)
            self._take_over(result.bundle, result.unfit)
        except AuscultError as error:
            self._failed(str(error))

    def _take_over(self, bundle: Path, unfit: list[str]) -> None:
        """Use a new bundle from now on."""
        state, journal = self._state, self._state.journal
        try:
            name = store_bundle(state, bundle)
        except OSError as error:  # without a pause, the training would begin again at once
            self._failed(f"the bundle cannot be stored: {error}")
            return
        if isinstance(self._trainer, ByHand):
            self._trainer.taken()
        made = self._job_started or LearnedBundle(
            "", "", "trained before a restart", journal.heard_s, journal.running_s, 0
        )
        made.name, made.made_at = name, state.now()
        journal.bundles.append(made)
        journal.bundle, journal.unfit = name, unfit
        if journal.stage == "collecting":
            journal.stage = "provisional"
            journal.duty = []  # of an earlier learning
        self._backoff.reset()
        state.trouble = ""
        state.stage_changed(f"bundle {name} is in use: {made.reason}")

    def _failed(self, error: str) -> None:
        state = self._state
        pause_s = self._backoff.next_s()
        self._try_again_s = state.clock.steady_s() + pause_s
        state.trouble = f"the training failed: {error}"
        log.error(
            "%s; the next attempt is in %s",
            state.trouble,
            duration(pause_s),
            extra=state.log_extra,
        )
