"""What happened, from the history and from the outbox, into the ledger of one target."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import ClassVar

from monitor.clock import Clock
from monitor.errors import BadInputError, MissingInputError
from monitor.history.reader import HistoryReader
from monitor.history.records import ALERT_KINDS
from monitor.notify.early import EarlyAlerts
from monitor.notify.folding import Interest, fold, fold_early, forget_unwanted
from monitor.notify.incident import whole
from monitor.notify.ledger import Ledger
from monitor.notify.ledger_file import LedgerFile
from monitor.outbox.waiting import WaitingAlerts

log = logging.getLogger(__name__)

_DAMAGED_OVERLAP_S = 3600.0


class Intake:
    """Takes the events that a target wants, each once. Everything happens in one thread.

    ``trouble``: why the history is not read, in one line; empty if it is. ``is_expected``: whether
    that is normal at a start.
    """

    BATCH: ClassVar[int] = 500

    def __init__(
        self,
        name: str,
        interest: Interest,
        *,
        history: HistoryReader,
        outbox: WaitingAlerts,
        ledger: LedgerFile,
        clock: Clock,
    ) -> None:
        self.trouble = ""
        self.is_expected = False
        self._name = name
        self._interest = interest
        self._history = history
        self._outbox = outbox
        self._file = ledger
        self._clock = clock
        self._began_unix_s = clock.unix_s()
        self._early = EarlyAlerts(outbox, history, clock)
        self._outbox_trouble = ""

    def opened(self) -> tuple[Ledger, bool]:
        """The ledger, and whether it differs from the one on the disk. Raises ``OSError``."""
        try:
            ledger = self._file.load()
        except BadInputError as error:
            ledger = Ledger(began_unix_s=self._file.written_s() - _DAMAGED_OVERLAP_S)
            with suppress(OSError):  # the disk may be read-only
                self._file.set_aside()
            log.error("%s: %s: some messages may be sent again", self._name, error)
            return ledger, True
        if ledger is not None:
            forget_unwanted(ledger, self._interest)
            return ledger, False
        return self._new_ledger(), True

    def take(self, ledger: Ledger) -> bool:
        """Fold what is new; returns whether there was something.

        If the history cannot be read, the alerts of the outbox are taken all the same.
        """
        wants_alerts = "alert" in self._interest.kinds
        if wants_alerts:
            self._look()  # before the history: an alert leaves the outbox when the history has it
        has_changed = False
        try:
            has_changed = self._take_history(ledger)
            self.trouble = ""
        except (MissingInputError, BadInputError) as error:
            self.trouble, self.is_expected = str(error), isinstance(error, MissingInputError)
        for event in self._early.due(ledger.seen):
            has_changed |= fold_early(ledger, event, self._interest)
            self._early.settle(event.event_id)
        return has_changed

    def due_in_s(self) -> float | None:
        """After how many seconds an alert of the outbox is due; None without any."""
        return self._early.due_in_s()

    def _new_ledger(self) -> Ledger:
        """The ledger of a new target: what happened before it is not sent."""
        try:
            not_taken = self._outbox.last_sequences()
        except BadInputError:
            not_taken = {}
        ledger = Ledger(began_unix_s=self._began_unix_s, not_taken=not_taken)
        try:
            ledger.position = self._history.last_position()
        except (MissingInputError, BadInputError):  # it is found when there is a history
            return ledger
        ledger.began_unix_s = None
        return ledger

    def _take_history(self, ledger: Ledger) -> bool:
        """Fold the new events of the history.

        Raises ``MissingInputError`` and ``BadInputError``.
        """
        has_changed = False
        if ledger.began_unix_s is not None:
            ledger.position = self._position_at(ledger.began_unix_s)
            ledger.began_unix_s, has_changed = None, True
        kinds = self._interest.event_kinds
        is_over = False
        while not is_over:
            events, last = self._history.news(ledger.position, kinds=kinds, limit=self.BATCH)
            if last < ledger.position:
                log.warning("%s: the history is another file than before", self._name)
                ledger.begin_again(last)
                continue
            for event in events:
                if event.kind in ALERT_KINDS:
                    self._take_earlier(ledger, event.machine, whole(event.payload.get("sequence")))
                    self._early.settle(event.event_id)
                fold(ledger, event, self._interest)
                has_changed = True
            if is_over := len(events) < self.BATCH:
                ledger.position = max(ledger.position, last)  # others are not read again
        return has_changed

    def _take_earlier(self, ledger: Ledger, machine: str, sequence: int) -> None:
        """Fold the alerts of a machine that come before one that the history has already."""
        for event in self._early.before(machine, sequence):
            fold_early(ledger, event, self._interest)
            self._early.settle(event.event_id)

    def _look(self) -> None:
        try:
            self._early.look()
        except BadInputError as error:
            if str(error) != self._outbox_trouble:
                log.warning("%s: only the history is read: %s", self._name, error)
            self._outbox_trouble = str(error)
        else:
            self._outbox_trouble = ""

    def _position_at(self, unix_s: float) -> int:
        """The position before the first event since a time."""
        later = self._history.events(since_s=unix_s, limit=1, newest_first=False)
        return later[0].position - 1 if later else self._history.last_position()
