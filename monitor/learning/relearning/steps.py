"""Makes a new bundle beside the one in use: collects sound, trains, and compares both bundles."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from monitor.errors import AuscultError
from monitor.learning.journal import CONFIGURED, Relearning
from monitor.learning.relearning.comparison import Comparison, comparison_of, write_comparison
from monitor.learning.relearning.confirmed_sound import ConfirmedSound
from monitor.learning.relearning.labelled_alerts import (
    FALSE_ALARM,
    LabelledAlert,
    LabelledAlerts,
    with_sound_since,
)
from monitor.learning.relearning.scoring import MonitoredBy, Scores, ScoringJob
from monitor.learning.relearning.scoring_process import Scoring
from monitor.learning.sorting import LEAST_PIECES, pieces_during_alarms
from monitor.learning.state import LearningState
from monitor.learning.trainers.by_hand import ByHand
from monitor.learning.trainers.protocol import Job, Result, Trainer
from monitor.learning.upkeep import Upkeep
from monitor.model.replacement import complete_folder, copy_files
from monitor.text.wording import counted

log = logging.getLogger(__name__)


class RelearnSteps:
    """The steps of one machine. All functions are called with the lock of ``state``.

    ``candidate``: where the new bundle is until
    it is accepted. ``confirmed``: the sound of alerts that were labelled as false alarms.
    """

    def __init__(
        self,
        state: LearningState,
        trainer: Trainer,
        upkeep: Upkeep,
        *,
        check_bundle: Callable[[Path], object],
        config: Path | None,
        monitored_by: MonitoredBy,
        labelled: LabelledAlerts,
        scoring: Scoring,
    ) -> None:
        self.candidate = state.folder / "candidate"
        self.comparison_file = state.folder / "comparison.json"
        self.confirmed = ConfirmedSound(
            state.folder / "relearn", state.settings.relearn_max_mb * 1e6, state.log_extra
        )
        self.check_bundle = check_bundle
        self._state = state
        self._trainer = trainer
        self._upkeep = upkeep
        self._config = config
        self._monitored_by = monitored_by
        self._labelled = labelled
        self._scoring = scoring

    @property
    def has_false_alarms(self) -> bool:
        """Whether there is sound of an alert that was labelled as a false alarm."""
        return bool(self.confirmed.clips) or any(
            one.label == FALSE_ALARM for one in self.labelled()
        )

    def labelled(self) -> list[LabelledAlert]:
        """The alerts of the machine as it is placed now: since its learning began."""
        began_at = self._state.journal.began_at
        since_s = datetime.fromisoformat(began_at).timestamp() if began_at else 0.0
        return with_sound_since(self._labelled(), since_s)

    def advance(self) -> None:
        """Do what is due for an armed machine. Raises ``OSError``."""
        relearning = self._state.journal.relearning
        if relearning is None or relearning.step not in {"training", "comparing"}:
            self._follow_labels()
        if relearning is None:
            self._remove_files()
        elif relearning.step == "collecting":
            self._collect(relearning)
        elif relearning.step == "training":
            self._train(relearning)
        elif relearning.step == "comparing":
            self._compare(relearning)

    def trained(self, result: Result) -> None:
        """A training has ended. Raises ``OSError``."""
        relearning = self._state.journal.relearning
        if relearning is None or relearning.step != "training":
            return
        if result.bundle is None:
            removed = self._upkeep.remove_unusable(result.unusable)
            if not (self.confirmed.remove(result.unusable) or removed):
                self._fail(relearning, f"the training failed: {result.error}")
            return
        try:
            self.check_bundle(result.bundle)
            if self.candidate.exists():
                shutil.rmtree(self.candidate)
            with complete_folder(self.candidate) as folder:
                copy_files(result.bundle, folder)
        except AuscultError as error:
            self._fail(relearning, f"the new bundle cannot be used: {error}")
            return
        if isinstance(self._trainer, ByHand):
            self._trainer.taken()
        relearning.step = "comparing"
        self._state.noted("a new bundle is being trained, and will be compared with the one in use")

    def bundle_in_use_changed(self) -> None:
        """A comparison with the earlier bundle is worth nothing."""
        self.stop()
        relearning = self._state.journal.relearning
        if relearning is not None and relearning.step in {"comparing", "ready"}:
            relearning.step, relearning.trouble = "failed", "another bundle is in use since then"

    def forget(self) -> None:
        """The learning begins again: the sound so far is not that of the machine any more.

        Raises ``OSError``.
        """
        self.stop()
        self.confirmed.clear()

    def stop(self) -> None:
        """End a comparison that runs. It begins again with the next ``advance``."""
        self._scoring.stop()

    def _follow_labels(self) -> None:
        if self.confirmed.is_behind:
            self.confirmed.follow(self.labelled)

    def _collect(self, relearning: Relearning) -> None:
        state = self._state
        space = self._upkeep.limit_space()
        n_missing = LEAST_PIECES - len(state.store.accepted)
        if relearning.collected_s < relearning.collect_s:
            state.missing = space
        elif n_missing > 0:
            state.missing = space or f"{counted(n_missing, 'piece')} of healthy sound"
        else:
            state.missing = ""
            relearning.step = "training"
            state.noted("enough healthy sound is collected")

    def _train(self, relearning: Relearning) -> None:
        state, trainer = self._state, self._trainer
        if trainer.is_running:
            return
        if self.confirmed.is_behind:
            self._follow_labels()
        elif not trainer.can_start:
            state.missing = "the end of the training of another machine"
        else:
            state.missing = ""
            self._start_training(relearning)

    def _start_training(self, relearning: Relearning) -> None:
        state = self._state
        self._upkeep.forget_lost()
        self._upkeep.set_outliers_aside(pieces_during_alarms(state.store.pieces, relearning.alarms))
        accepted = state.store.accepted
        if len(accepted) < LEAST_PIECES:
            self._fail(relearning, f"there are only {counted(len(accepted), 'piece')}")
            return
        relearning.pieces, relearning.clips = len(accepted), self.confirmed.clips
        relearning.false_alarms = [
            alert.alert_id for alert in self.labelled() if alert.label == FALSE_ALARM
        ]
        state.noted(
            f"training a new bundle with {counted(len(accepted), 'piece')} and the sound of "
            f"{counted(len(self.confirmed.alerts), 'false alarm')}"
        )
        self._trainer.start(
            Job(
                str(state.store.accepted_folder),
                state.per_week,
                str(self._config or ""),
                state.settings.keep_outliers,
                confirmed=str(self.confirmed.folder) if relearning.clips else "",
            )
        )

    def _compare(self, relearning: Relearning) -> None:
        result = self._scoring.poll()
        if isinstance(result, str):
            self._fail(relearning, f"the comparison failed: {result}")
        elif result is not None:
            self._compared(relearning, result)
        elif not self._scoring.is_running:
            self._start_comparison(relearning)

    def _start_comparison(self, relearning: Relearning) -> None:
        in_use = self._bundle_in_use()
        if in_use is None or not self.candidate.exists():
            self._fail(relearning, "a bundle was deleted meanwhile")
            return
        alerts = self.labelled()[-Comparison.MOST_ALERTS :]
        pieces = [one for one in self._state.store.accepted if one.kind == "running"]
        folder = self._state.store.accepted_folder
        self._scoring.start(
            ScoringJob(
                str(in_use),
                str(self.candidate),
                {clip.evidence_id: str(clip.path) for one in alerts for clip in one.clips},
                [str(folder / piece.name) for piece in pieces],
                self._monitored_by.detector,
                self._monitored_by.operation,
            )
        )

    def _compared(self, relearning: Relearning, scores: Scores) -> None:
        state = self._state
        recorded_at = {piece.name: piece.recorded_at for piece in state.store.pieces}
        comparison = comparison_of(
            scores, self.labelled(), relearning.clips, state.now(), recorded_at
        )
        write_comparison(self.comparison_file, comparison)
        relearning.step = "ready"
        state.noted("a new bundle is ready: see auscult relearn")

    def _bundle_in_use(self) -> Path | None:
        name = self._state.journal.bundle
        if name == CONFIGURED:
            return self._monitored_by.configured
        path = self._state.folder / "bundles" / str(name)
        return path if path.exists() else None

    def _fail(self, relearning: Relearning, trouble: str) -> None:
        relearning.step, relearning.trouble = "failed", trouble
        self._state.missing = ""
        self._state.save()
        log.error("no new bundle: %s", trouble, extra=self._state.log_extra)

    def _remove_files(self) -> None:
        """Also after a kill between the end of the relearning and this."""
        if self.candidate.exists():
            shutil.rmtree(self.candidate)
        self.comparison_file.unlink(missing_ok=True)
