"""The progress of the learning, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from monitor.learning.relearning.view import RelearnView
from monitor.learning.rule import alarms_of, most_alarms
from monitor.learning.state import LearningState
from monitor.learning.trainers.protocol import Trainer
from monitor.text.wording import counted

_MOST_NAMED = 5


class Progress:
    """The progress of one machine. All functions are called with the lock of ``state``."""

    def __init__(self, state: LearningState, trainer: Trainer, relearn: RelearnView) -> None:
        self._state = state
        self._trainer = trainer
        self._relearn = relearn

    def fields(self, n_lost: int) -> dict[str, Any]:
        """All figures, as in the payload ``learning``. ``n_lost``: pieces that were lost."""
        state, journal = self._state, self._state.journal
        unseen = journal.unseen_by(journal.bundle)
        scored_s = sum(one.scored_s for one in unseen)
        pieces = state.store.pieces
        text = self.text()
        return {
            "stage": journal.stage,
            "training": self._trainer.is_running,
            "percent": self._percent(),
            "day": self._day(),
            "days": state.settings.days,
            "pieces": len(pieces),
            "megabytes": round(state.store.n_bytes / 1e6, 1),
            "lost_pieces": n_lost,
            "set_aside": len(journal.aside),
            "set_aside_pieces": [asdict(piece) for piece in journal.aside[-_MOST_NAMED:]],
            "rare": len(journal.rare),
            "rare_pieces": [asdict(piece) for piece in journal.rare[-_MOST_NAMED:]],
            "unseen_s": round(scored_s, 1),
            "unseen_alarms": alarms_of(unseen, pieces),
            "most_alarms": most_alarms(state.per_week, scored_s),
            "bundle": journal.bundle,
            "bundles": len(journal.bundles),
            "earlier_bundles": len(state.earlier_bundles),
            "text": text,
            "missing": state.missing,
            "trouble": self._trouble(),
            "relearning": self._relearn.fields(),
        }

    def text(self) -> str:
        """One line."""
        state, journal = self._state, self._state.journal
        if journal.stage != "armed":
            state.name_what_is_aside()
        n_aside = len(journal.aside)
        if journal.stage == "armed":
            return f"armed, {counted(n_aside, 'piece')} set aside" if n_aside else "armed"
        parts = [
            f"learning {self._percent()} %",
            self._day_text(),
            counted(len(state.store.pieces), "piece"),
        ]
        if n_aside:
            parts.append(f"{n_aside} set aside")
        if journal.rare:
            n_rare, newest = len(journal.rare), journal.rare[-1].name
            parts.append(f"listen to {counted(n_rare, 'rare piece')} such as {newest}")
        if self._trainer.is_running and not self._trainer.advice:
            parts.append("a bundle is being trained")
        elif state.missing:
            parts.append(f"still needed: {state.missing}")
        if trouble := self._trouble():
            parts.append(trouble)
        return ", ".join(parts)

    def _trouble(self) -> str:
        return self._trainer.advice or self._state.trouble or self._state.disk_trouble

    def _percent(self) -> int:
        """10 % for the sound until the first bundle, the rest for the days."""
        state, journal = self._state, self._state.journal
        if journal.stage == "armed":
            return 100
        if journal.stage == "collecting":
            share = journal.running_s / (60.0 * state.settings.first_after_min)
            return int(10 * min(1.0, share))
        return min(99, 10 + int(90 * journal.heard_s / (state.settings.days * state.day_s)))

    def _day_text(self) -> str:
        days = self._state.settings.days
        if self._state.journal.heard_s >= days * self._state.day_s:
            return f"{counted(days, 'day')} complete"
        return f"day {self._day()} of {days:g}"

    def _day(self) -> int:
        return int(self._state.journal.heard_s // self._state.day_s) + 1
