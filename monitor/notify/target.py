"""One target: takes what the history has about its machines, and sends what is due."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from monitor.backoff import Backoff
from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.errors import BadInputError, ConfigError, MissingInputError
from monitor.evidence.folder import EvidenceFolder
from monitor.history.reader import HistoryReader
from monitor.notify.folding import fold, forget_unwanted
from monitor.notify.incident import Incident
from monitor.notify.ledger import Ledger
from monitor.notify.ledger_file import LedgerFile
from monitor.notify.plan import Plan
from monitor.notify.schedule import Due
from monitor.notify.sending import Outcome
from monitor.notify.wording import Message, Wording

log = logging.getLogger(__name__)

_MOST_PICTURE_BYTES = 2_000_000
_DAMAGED_OVERLAP_S = 3600.0


Sender = Callable[[Message, bytes | None], Outcome]
"""Sends a message to the target, with a picture. It may arrive although the outcome is not ``ok``.

Raises ``ConfigError`` if there is no address.
"""


class Target:
    """One target. Everything happens in the thread that calls ``turn``.

    An event is sent at least once: what was sent is noted after it was sent.
    """

    BATCH: ClassVar[int] = 500
    PICTURE_WAIT_S: ClassVar[float] = 60.0
    """How long a new alert waits for its picture, which shows also the sound after it."""
    WATCH_S: ClassVar[float] = 1.0
    """How often to look for it."""
    DISK_RETRY_S: ClassVar[float] = 5.0

    def __init__(
        self,
        plan: Plan,
        *,
        history: HistoryReader,
        evidence: EvidenceFolder,
        ledger: LedgerFile,
        send: Sender,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.plan = plan
        self._history = history
        self._evidence = evidence
        self._file = ledger
        self._send = send
        self._clock = clock
        self._backoff = Backoff(plan.retry_min_s, plan.retry_max_s)
        self._retry_at_s = 0.0
        self._ledger: Ledger | None = None
        self._is_unsaved = False
        self._first_seen_s: dict[str, float] = {}
        self._is_watching = False
        self._trouble = ""
        self._began_unix_s = clock.unix_s()
        self._found_none = False

    @property
    def status(self) -> str:
        """One line: how many messages wait, and why."""
        waiting = len(self._ledger.pending()) if self._ledger is not None else 0
        if not self._trouble:
            return f"{self.plan.name}: ok" + (f", {waiting} waiting" if waiting else "")
        return f"{self.plan.name}: {waiting} waiting, {self._trouble}"

    def turn(self) -> float | None:
        """Do what is due. Returns after how many seconds to call it again; None: at new events."""
        try:
            ledger = self._opened()
            self._take(ledger)
        except MissingInputError as error:
            return self._failed(str(error), self.DISK_RETRY_S, is_expected=True)
        except (BadInputError, OSError) as error:
            return self._failed(str(error), self.DISK_RETRY_S)
        if self._is_unsaved:
            self._save(ledger)
        self._is_watching = False
        was_held = ledger.is_held
        due = self.plan.schedule.due(ledger, self._clock, self._wait_s)
        if ledger.is_held and not was_held:  # or after a kill, one message is sent again as several
            self._save(ledger)
        self._remember_waits(ledger)
        if not due.incidents:
            return min(due.again_s or 0.0, self.WATCH_S) if self._is_watching else due.again_s
        pause_s = self._retry_at_s - self._clock.steady_s()
        if pause_s > 0.0:
            return pause_s
        return self._notify(ledger, due)

    def _opened(self) -> Ledger:
        if self._ledger is not None:
            return self._ledger
        try:
            ledger = self._file.load()
        except BadInputError as error:
            position = self._position_at(self._file.written_s() - _DAMAGED_OVERLAP_S)
            self._file.set_aside()
            log.error("%s: %s: some messages may be sent again", self.plan.name, error)
            ledger = Ledger(position=position)
        if ledger is None:
            ledger = Ledger(position=self._first_position())
            self._is_unsaved = True
        forget_unwanted(ledger, self.plan.interest)
        self._ledger = ledger
        return ledger

    def _take(self, ledger: Ledger) -> None:
        """Fold the new events."""
        last = self._history.last_position()
        if last < ledger.position:
            log.warning("%s: the history is another file than before", self.plan.name)
            ledger.begin_again(last)
        kinds = self.plan.interest.event_kinds
        while last > ledger.position:
            events = self._history.events_after(ledger.position, kinds=kinds, limit=self.BATCH)
            for event in events:
                fold(ledger, event, self.plan.interest)
                self._is_unsaved = True
            if len(events) < self.BATCH:
                ledger.position = max(ledger.position, last)  # others are not read again

    def _first_position(self) -> int:
        """Where a new target begins: what happened before it is not sent.

        Raises ``MissingInputError`` while there is no history.
        """
        try:
            last = self._history.last_position()
        except MissingInputError:
            self._found_none = True
            raise
        return self._position_at(self._began_unix_s) if self._found_none else last

    def _position_at(self, unix_s: float) -> int:
        """The position before the first event since a time."""
        later = self._history.events(since_s=unix_s, limit=1, newest_first=False)
        return later[0].position - 1 if later else self._history.last_position()

    def _wait_s(self, incident: Incident) -> float:
        """How long an incident should wait: for its picture, or whether it lasts."""
        is_alert = incident.kind == "alert"
        if incident.is_sent or (incident.has_ended and not is_alert):
            return 0.0
        if is_alert:
            if not self._wants_picture(incident) or self._piece(incident) is not None:
                return 0.0
            wait_s = self.PICTURE_WAIT_S
        else:
            wait_s = self.plan.interest.least_s
        now_s = self._clock.steady_s()
        if incident.key not in self._first_seen_s:
            self._first_seen_s[incident.key] = now_s
            what = "its picture" if is_alert else "its end"
            log.info("%s: %s waits up to %g s for %s", self.plan.name, incident.key, wait_s, what)
        left_s = self._first_seen_s[incident.key] + wait_s - now_s
        self._is_watching |= is_alert and left_s > 0.0
        return left_s

    def _remember_waits(self, ledger: Ledger) -> None:
        """Forget when incidents were first seen that are no longer there."""
        for key in self._first_seen_s.keys() - ledger.incidents.keys():
            del self._first_seen_s[key]

    def _notify(self, ledger: Ledger, due: Due) -> float:
        now = datetime.fromtimestamp(self._clock.unix_s(), UTC)
        wording = Wording(now, self.plan.zone, self.plan.web_url)
        message = wording.message(due.incidents, ledger.left_out)
        outcome = self._attempt(message, self._picture(due.incidents))
        if not outcome.ok:
            pause_s = self._backoff.next_s()
            self._retry_at_s = self._clock.steady_s() + pause_s
            return self._failed(f"not sent: {outcome.detail or 'no reason was given'}", pause_s)
        log.info("%s: sent: %s", self.plan.name, message.title)
        if outcome.detail:
            log.warning("%s: %s", self.plan.name, outcome.detail)
        if self._trouble:
            log.warning("%s: messages are sent again", self.plan.name)
        self._trouble = ""
        self._backoff.reset()
        ledger.sent(due.incidents, self._clock.now(), holds_rest=due.holds_rest)
        self._save(ledger)
        return 0.0

    def _attempt(self, message: Message, picture: bytes | None) -> Outcome:
        try:
            return self._send(message, picture)
        except ConfigError as error:  # the file of the address
            return Outcome(ok=False, detail=str(error))

    def _save(self, ledger: Ledger) -> None:
        """Without the disk all works, but after a restart messages are sent again."""
        try:
            self._file.save(ledger)
        except OSError as error:
            self._is_unsaved = True
            log.error("%s: %s: %s", self.plan.name, self._file.path, error.strerror)
        else:
            self._is_unsaved = False

    def _failed(self, reason: str, again_s: float, *, is_expected: bool = False) -> float:
        if reason != self._trouble:
            level = logging.INFO if is_expected else logging.WARNING
            log.log(level, "%s: %s", self.plan.name, reason)
        self._trouble = reason
        return again_s

    def _wants_picture(self, incident: Incident) -> bool:
        return self.plan.attach_picture and bool(incident.evidence_id)

    def _piece(self, incident: Incident) -> Path | None:
        """The folder or file that shows that the evidence is complete; None until then."""
        piece = self._evidence.piece(incident.evidence_id)
        return None if piece is None else piece.picture_path or Path()

    def _picture(self, incidents: tuple[Incident, ...]) -> bytes | None:
        """The picture of the new alert; None if the message is about several of them."""
        is_single = len(incidents) == 1
        new = [one for one in incidents if one.is_new_alert or (is_single and not one.is_sent)]
        if len(new) != 1 or not self._wants_picture(new[0]):
            return None
        piece = self._evidence.piece(new[0].evidence_id)
        if piece is None or piece.picture_path is None:
            return None
        try:
            with piece.picture_path.open("rb") as file:
                content = file.read(_MOST_PICTURE_BYTES + 1)
        except OSError:  # it was removed meanwhile
            return None
        return content if len(content) <= _MOST_PICTURE_BYTES else None
