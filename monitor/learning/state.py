"""What is known about the learning of one machine, shared by the parts of its ``Learner``."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import ClassVar

from monitor.clock import Clock, rfc3339
from monitor.learning.collector import LevelClasses
from monitor.learning.journal import (
    CONFIGURED,
    Journal,
    NamedPiece,
    read_journal,
    write_copy,
    write_journal,
)
from monitor.learning.pieces import PieceStore
from monitor.learning.settings import LearningSettings

log = logging.getLogger(__name__)


class LearningState:
    """The journal, the pieces, and what is missing or wrong.

    Use it with ``lock``. Only the machine's thread also reads ``journal`` and counts in ``levels``
    without the lock, because it must not wait.

    ``per_week``: the budget of false alarms. ``day_s``: the length of a day of received sound.
    ``missing``: what the next step still needs. ``trouble``: why the last training failed.
    ``disk_trouble``: why nothing can be written. Each of them is empty if there is nothing.
    ``generation``: another number when the learning begins again: earlier sound is not learned.
    """

    SAVE_S: ClassVar[float] = 60.0
    """How often the journal is written between two steps, by a steady clock."""

    def __init__(
        self,
        machine: str,
        settings: LearningSettings,
        folder: Path,
        *,
        per_week: float,
        has_configured_bundle: bool,
        clock: Clock,
        day_s: float,
    ) -> None:
        """Read what is in ``folder``. Raises ``OSError`` where it cannot be used."""
        self.machine = machine
        self.settings = settings
        self.folder = folder
        self.per_week = per_week
        self.has_configured_bundle = has_configured_bundle
        self.clock = clock
        self.day_s = day_s
        self.lock = threading.RLock()
        self.log_extra = {"machine": machine}
        self.missing = ""
        self.trouble = ""
        self.disk_trouble = ""
        self.generation = 0
        self._has_changed = self._is_change_unsaved = False
        self._save_due_s = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        self.store = PieceStore(folder)
        journal = read_journal(folder)
        self._is_kept = journal is not None
        if journal is None and has_configured_bundle:
            journal = Journal(stage="armed", bundle=CONFIGURED)
        self.journal = journal or Journal(began_at=self.now())
        self.levels = LevelClasses(self.journal.levels)
        self.save()

    @property
    def earlier_bundles(self) -> list[str]:
        """The bundles before the one in use, the oldest first; all of them without one in use."""
        names = [CONFIGURED] if self.has_configured_bundle else []
        names += [one.name for one in self.journal.bundles]
        return names[: names.index(self.journal.bundle)] if self.journal.bundle in names else names

    def begin_again(self) -> None:
        """Forget everything that an earlier bundle does not need. Raises ``OSError``."""
        self.journal = Journal(
            began_at=self.now(), bundles=self.journal.bundles, duty=self.journal.duty
        )
        self.levels = LevelClasses([])
        self.generation += 1
        self.trouble = ""

    def stage_changed(self, message: str) -> None:
        """The stage or the bundle is another one: write it and log it. Raises ``OSError``."""
        self._is_change_unsaved = True
        self.save()
        log.info("%s", message, extra=self.log_extra)

    def noted(self, message: str) -> None:
        """Something else than the stage and the bundle is new: write it and log it.

        Raises ``OSError``.
        """
        self.save()
        log.info("%s", message, extra=self.log_extra)

    @contextmanager
    def unchanged_if_not_saved(self) -> Iterator[None]:
        """If the ``with`` block raises ``OSError``, the journal is as before."""
        before = deepcopy(self.journal), self.levels, self.generation
        try:
            yield
        except OSError:
            self.journal, self.levels, self.generation = before
            self._is_change_unsaved = False
            raise

    def take_changed(self) -> bool:
        """Whether another stage or bundle was written since the last call."""
        has_changed, self._has_changed = self._has_changed, False
        return has_changed

    def name_what_is_aside(self) -> None:
        """Note the pieces that are not learned, for the time after the pieces are removed."""
        self.journal.aside = [
            NamedPiece(
                piece.name, piece.recorded_at, piece.aside or "it does not fit the other pieces"
            )
            for piece in self.store.pieces
            if piece.aside or piece.name in self.journal.unfit
        ]

    def save_if_due(self) -> None:
        """Write the journal if that was long ago, or if a change is not written yet.

        Raises ``OSError``.
        """
        if self._is_change_unsaved or self.clock.steady_s() >= self._save_due_s:
            self.save()

    def save(self) -> None:
        """Write the journal. Raises ``OSError``; ``save_if_due`` then tries again."""
        journal = self.journal
        journal.levels = [round(s, 2) for s in self.levels.seconds]
        was_ever_learned = journal.bundles or journal.bundle != CONFIGURED
        self._is_kept = self._is_kept or journal.relearning is not None
        if journal.stage != "armed" or was_ever_learned or self._is_kept:
            write_journal(self.folder, journal)
        if self._is_change_unsaved:  # the bundle in use is read from the disk
            self._is_change_unsaved = False
            self._has_changed = True
            write_copy(self.folder, journal)
        self._save_due_s = self.clock.steady_s() + self.SAVE_S

    def now(self) -> str:
        """The time, in RFC 3339."""
        return rfc3339(self.clock.unix_s())
