"""The new bundle of a machine, for people and for programs."""

from __future__ import annotations

from typing import Any

from monitor.learning.journal import Relearning
from monitor.learning.relearning.comparison import read_comparison
from monitor.learning.relearning.labelled_alerts import FALSE_ALARM, LabelledAlert
from monitor.learning.relearning.steps import RelearnSteps
from monitor.learning.state import LearningState
from monitor.learning.trainers.protocol import Trainer
from monitor.text.wording import counted, duration


class RelearnView:
    """What is shown of one machine. All functions are called with the lock of ``state``."""

    def __init__(self, state: LearningState, trainer: Trainer, steps: RelearnSteps) -> None:
        self._state = state
        self._trainer = trainer
        self._steps = steps

    def fields(self) -> dict[str, Any] | None:
        """The progress, without the comparison; None if nothing is under way."""
        relearning = self._state.journal.relearning
        if relearning is None:
            return None
        return {
            "step": relearning.step,
            "began_at": relearning.began_at,
            "by": relearning.by,
            "collect_s": relearning.collect_s,
            "collected_s": round(min(relearning.collected_s, relearning.collect_s), 1),
            "text": self.text(),
            "missing": self._state.missing,
            "trouble": relearning.trouble or self._trainer.advice,
        }

    def comparison(self) -> dict[str, Any] | None:
        """What the new bundle would change; None before it is ready. Raises ``OSError``."""
        relearning = self._state.journal.relearning
        if relearning is None or relearning.step != "ready":
            return None
        comparison = read_comparison(self._steps.comparison_file)
        if comparison is None:
            return None
        labelled = self._steps.labelled()
        label = {alert.alert_id: alert.label for alert in labelled}
        warnings = comparison.warnings(label)
        if _labels_differ(labelled, relearning):
            warnings.append(
                "labels have changed since this bundle was trained: discard it and relearn"
            )
        return {**comparison.fields(label), "warnings": warnings}

    def text(self) -> str:
        """One line; empty if nothing is under way."""
        state, relearning = self._state, self._state.journal.relearning
        if relearning is None:
            return ""
        command = f"auscult relearn {state.machine}"
        texts = {
            "collecting": f"collecting sound for a new bundle, {self._still_needed(relearning)}",
            "training": self._trainer.advice or self._training(),
            "comparing": "a new bundle is compared with the one in use",
            "ready": f"a new bundle is ready: compare it with {command}",
            "failed": f"no new bundle: {relearning.trouble}; try again with {command}",
        }
        return texts[relearning.step]

    def _still_needed(self, relearning: Relearning) -> str:
        left_s = max(0.0, relearning.collect_s - relearning.collected_s)
        needed = self._state.missing or f"{duration(left_s)} of sound"
        return f"{counted(len(self._state.store.accepted), 'piece')}, still needed: {needed}"

    def _training(self) -> str:
        missing = self._state.missing
        return f"a new bundle waits for {missing}" if missing else "a new bundle is being trained"


def _labels_differ(labelled: list[LabelledAlert], relearning: Relearning) -> bool:
    """Whether an alert became a false alarm, or is none any more, after the training began."""
    before = set(relearning.false_alarms)
    return any((one.label == FALSE_ALARM) != (one.alert_id in before) for one in labelled)
