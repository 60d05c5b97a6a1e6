"""What operators can do about a new bundle: have it made, accept it, discard it."""

from __future__ import annotations

from monitor.errors import UsageError
from monitor.learning.journal import Journal, LearnedBundle, Relearning
from monitor.learning.learned_bundles import store_bundle
from monitor.learning.relearning.steps import RelearnSteps
from monitor.learning.sorting import LEAST_PIECES
from monitor.learning.state import LearningState
from monitor.learning.trainers.protocol import Trainer
from monitor.text.wording import counted, duration


class RelearnActions:
    """The actions for one machine. All functions are called with the lock of ``state``.

    ``by``: the operator. Each function returns a sentence for the operator. It raises
    ``UsageError`` for what is not possible now, and ``OSError`` where the disk fails.
    """

    def __init__(self, state: LearningState, trainer: Trainer, steps: RelearnSteps) -> None:
        self._state = state
        self._trainer = trainer
        self._steps = steps

    def relearn(self, by: str, collect_s: float | None = None) -> str:
        """Begin, unless it is under way. ``collect_s``: collect healthy sound for so long first."""
        state = self._state
        known = state.journal.relearning
        if known is not None and known.step != "failed":
            if collect_s is not None:
                raise UsageError(
                    f"{self._name()} is being relearned already: discard that first",
                    kind="relearning_already",
                )
            return ""
        self._refuse_unless_possible(collect_s)
        begun = Relearning("training" if collect_s is None else "collecting", state.now(), by)
        with state.unchanged_if_not_saved():
            state.journal.relearning = begun
            if collect_s is not None:
                begun.collect_s = collect_s
                state.generation += 1  # what was received before is no part of a piece
            self._steps.confirmed.labels_changed()
            state.noted(f"relearning begins, by {by}")
        if collect_s is not None:
            return (
                f"collects {duration(collect_s)} of sound beside the monitoring, then trains a new "
                "bundle; the machine must be healthy meanwhile"
            )
        return (
            "a new bundle is being trained beside the one in use; "
            "nothing changes until you accept it"
        )

    def accept(self, by: str) -> str:
        """Use the new bundle from now on."""
        state, relearning = self._state, self._ready()
        self._steps.check_bundle(self._steps.candidate)
        name = store_bundle(state, self._steps.candidate)
        journal = state.journal
        reason = f"relearned with {counted(_n_alerts(relearning), 'false alarm')}, by {by}"
        with state.unchanged_if_not_saved():
            journal.bundles.append(
                LearnedBundle(
                    name,
                    state.now(),
                    reason,
                    journal.heard_s,
                    journal.running_s,
                    relearning.pieces,
                )
            )
            journal.bundle, journal.relearning = name, None
            state.name_what_is_aside()
            state.stage_changed(f"bundle {name} is in use: {reason}")
        return f"uses the new bundle {name} from now on; auscult rollback goes back"

    def discard(self, by: str) -> str:
        """Keep the bundle in use, and remove the new one."""
        state = self._state
        if state.journal.relearning is None:
            raise UsageError(
                f"{self._name()} is not being relearned: there is nothing to discard",
                kind="not_relearning",
            )
        self._trainer.stop()
        self._steps.stop()
        with state.unchanged_if_not_saved():
            state.journal.relearning = None
            state.noted(f"the new bundle is discarded, by {by}")
        state.missing = ""
        return "discarded; the bundle in use stays"

    def _ready(self) -> Relearning:
        relearning = self._state.journal.relearning
        if relearning is None:
            raise UsageError(
                f"{self._name()} has no new bundle: run auscult relearn first",
                kind="no_new_bundle",
            )
        if relearning.step != "ready":
            raise UsageError(
                f"{self._name()} has no new bundle yet: see auscult relearn", kind="no_new_bundle"
            )
        return relearning

    def _refuse_unless_possible(self, collect_s: float | None) -> None:
        state = self._state
        journal, name = state.journal, self._name()
        if journal.stage != "armed":
            raise UsageError(
                f"{name} is still learning: labels are used when it is armed (auscult arm)",
                kind="still_learning",
            )
        if collect_s is not None:
            return
        n_pieces = len(state.store.accepted)
        collect = f"collect it beside the monitoring: auscult relearn {state.machine} --collect 7d"
        if n_pieces < LEAST_PIECES:
            kept = "" if state.settings.keep else " (keep = false in [machine.learning])"
            have = counted(n_pieces, "piece") if n_pieces else "no piece"
            raise UsageError(
                f"{name} has {have} of healthy sound{kept}: {collect}", kind="too_little_sound"
            )
        if not self._steps.has_false_alarms and not _has_new_sound(journal, state):
            raise UsageError(
                f"{name} has nothing new to learn: label an alert as false-alarm, or {collect}",
                kind="nothing_new",
            )

    def _name(self) -> str:
        return f'machine "{self._state.machine}"'


def _has_new_sound(journal: Journal, state: LearningState) -> bool:
    """Whether there is sound that the bundle in use was not made from."""
    bundle = journal.newest
    until_s = bundle.heard_s if bundle is not None else 0.0
    return any(piece.heard_s > until_s for piece in state.store.accepted)


def _n_alerts(relearning: Relearning) -> int:
    return len({clip.rpartition("-")[0] for clip in relearning.clips})
