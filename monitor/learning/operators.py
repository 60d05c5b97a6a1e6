"""What operators can do with the learning of a machine: begin it again, arm, go back."""

from __future__ import annotations

from monitor.errors import AuscultError, UsageError
from monitor.learning.journal import CONFIGURED
from monitor.learning.reception import Reception
from monitor.learning.state import LearningState
from monitor.learning.steps import Steps


class OperatorActions:
    """The actions for one machine. All functions are called with the lock of ``state``.

    ``by``: the operator. Each function returns a sentence for the operator, and raises
    ``OSError`` where the disk fails.
    """

    def __init__(self, state: LearningState, reception: Reception, steps: Steps) -> None:
        self._state = state
        self._reception = reception
        self._steps = steps

    def learn(self, by: str) -> str:
        """Begin to learn again."""
        state = self._state
        self._steps.end_training()
        self._steps.forget_failures()
        self._steps.relearn.forget()
        self._reception.forget()
        state.store.clear()  # before: after a kill between the two, they would be learned
        with state.unchanged_if_not_saved():
            state.begin_again()
            state.stage_changed(f"learning begins, by {by}")
        return "the learning begins; the machine is not monitored until the first bundle is made"

    def arm(self, by: str) -> str:
        """Arm now. Raises ``UsageError`` without a bundle."""
        state = self._state
        if state.journal.bundle is None:
            raise UsageError(
                f'machine "{state.machine}" has no bundle yet, so it cannot be armed: '
                f"{state.missing or state.trouble or 'it is still learning'}",
                kind="no_bundle_yet",
            )
        if state.journal.stage == "armed":
            return "is armed already"
        self._steps.arm(f"by {by}")
        return "armed: it raises alerts from now on, and learns nothing more"

    def rollback(self, by: str) -> str:
        """Use the newest usable bundle before the present one again.

        Raises ``UsageError`` if there is none.
        """
        state, journal = self._state, self._state.journal
        earlier = self._newest_usable(state.earlier_bundles)
        self._steps.end_training()
        with state.unchanged_if_not_saved():
            journal.bundle = earlier
            if journal.stage == "collecting" or journal.bundle == CONFIGURED:
                journal.stage = "armed"
            if (bundle := journal.newest) is not None:  # the next training is due from now
                bundle.heard_s, bundle.running_s = journal.heard_s, journal.running_s
            self._steps.relearn.bundle_in_use_changed()
            shown = journal.bundle or "of the configuration"
            state.stage_changed(f"back to bundle {shown}, by {by}")
        return f"uses the bundle {shown} from now on"

    def _newest_usable(self, names: list[str]) -> str:
        """The last of these bundles that can be used. Raises ``UsageError`` if there is none."""
        reason = ""
        for name in reversed(names):
            if name == CONFIGURED:
                return name
            try:
                self._steps.check_bundle(self._state.folder / "bundles" / name)
            except AuscultError as error:
                reason = reason or f" that can be used: {error}"
            else:
                return name
        raise UsageError(
            f'machine "{self._state.machine}" has no earlier bundle{reason}',
            kind="no_usable_bundle" if reason else "no_earlier_bundle",
        )
