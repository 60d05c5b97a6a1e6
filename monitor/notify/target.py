"""One target: takes what is new about its machines, and sends what is due."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import ClassVar

from monitor.backoff import Backoff
from monitor.clock import SYSTEM_CLOCK, Clock, StepWatch
from monitor.errors import ConfigError
from monitor.evidence.folder import EvidenceFolder
from monitor.history.reader import HistoryReader
from monitor.notify.alert_evidence import AlertEvidence
from monitor.notify.incident import Incident
from monitor.notify.intake import Intake
from monitor.notify.ledger import Ledger
from monitor.notify.ledger_file import LedgerFile
from monitor.notify.plan import Plan
from monitor.notify.schedule import Due
from monitor.notify.sending import Outcome
from monitor.notify.wording import Message, Wording
from monitor.outbox.waiting import WaitingAlerts

log = logging.getLogger(__name__)

Sender = Callable[[Message, bytes | None], Outcome]
"""Sends a message to the target, with a picture. It may arrive although the outcome is not ``ok``.

Raises ``ConfigError`` if there is no address.
"""


class Target:
    """One target. Everything happens in the thread that calls ``turn``.

    An event is sent at least once: what was sent is noted after it was sent.
    """

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
        outbox: WaitingAlerts,
        evidence: EvidenceFolder,
        ledger: LedgerFile,
        send: Sender,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.plan = plan
        self._evidence = AlertEvidence(plan, evidence, clock)
        self._file = ledger
        self._send = send
        self._clock = clock
        self._steps = StepWatch(clock)
        self._backoff = Backoff(plan.retry_min_s, plan.retry_max_s)
        self._retry_at_s = 0.0
        self._ledger: Ledger | None = None
        self._is_unsaved = False
        self._first_seen_s: dict[str, float] = {}
        self._is_watching = False
        self._leaves_picture_out = False
        """A slow network may take a message without it."""
        self._trouble = ""
        self._unread = ""
        self._intake = Intake(
            plan.name, plan.interest, history=history, outbox=outbox, ledger=ledger, clock=clock
        )

    @property
    def status(self) -> str:
        """One line: how many messages wait, and why."""
        waiting = len(self._ledger.pending()) if self._ledger is not None else 0
        troubles = [one for one in (self._trouble, self._unread) if one]
        if not troubles:
            return f"{self.plan.name}: ok" + (f", {waiting} waiting" if waiting else "")
        return f"{self.plan.name}: {waiting} waiting, {', '.join(troubles)}"

    def begin(self) -> None:
        """Note where the history stands: what happens from now on is sent, also after a kill.

        If the disk refuses, ``turn`` tries again and reports it.
        """
        with suppress(OSError):
            ledger = self._opened()
            if self._is_unsaved:
                self._save(ledger)

    def turn(self) -> float | None:
        """Do what is due. Returns after how many seconds to call it again; None: at new events."""
        try:
            ledger = self._opened()
        except OSError as error:
            return self._failed(str(error), self.DISK_RETRY_S)
        if step_s := self._steps.step_s():  # before what is dated by the clock as it is set now
            ledger.clock_set(step_s, self._clock.unix_s())
            self._is_unsaved = True
        self._is_unsaved |= self._intake.take(ledger)
        self._report_unread()
        if self._is_unsaved:
            self._save(ledger)
        pauses = [self._send_due(ledger), self._intake.due_in_s()]
        pauses += [self.DISK_RETRY_S] if self._unread else []
        return min((one for one in pauses if one is not None), default=None)

    def _send_due(self, ledger: Ledger) -> float | None:
        """Send what is due. Returns after how many seconds something else is; None: never."""
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
        if self._ledger is None:
            self._ledger, self._is_unsaved = self._intake.opened()
        return self._ledger

    def _report_unread(self) -> None:
        """Log that the history cannot be read, once, and that it can be read again."""
        before, self._unread = self._unread, self._intake.trouble
        if self._unread and self._unread != before:
            level = logging.INFO if self._intake.is_expected else logging.WARNING
            log.log(level, "%s: %s", self.plan.name, self._unread)

    def _wait_s(self, incident: Incident) -> float:
        """How long an incident should wait: for its picture, or whether it lasts."""
        is_alert = incident.kind == "alert"
        if incident.is_sent or (incident.has_ended and not is_alert):
            return 0.0
        if is_alert:
            if not self._evidence.wants_picture(incident) or self._evidence.is_complete(incident):
                return 0.0
            wait_s = self.PICTURE_WAIT_S
        else:
            wait_s = self.plan.interest.least_s
        now_s = self._clock.steady_s()
        if incident.key not in self._first_seen_s:
            self._first_seen_s[incident.key] = now_s
            log.info("%s: %s", self.plan.name, _waiting_text(incident, wait_s))
        left_s = self._first_seen_s[incident.key] + wait_s - now_s
        self._is_watching |= is_alert and left_s > 0.0
        return left_s

    def _remember_waits(self, ledger: Ledger) -> None:
        """Forget when incidents were first seen that are no longer there."""
        for key in self._first_seen_s.keys() - ledger.incidents.keys():
            del self._first_seen_s[key]
        self._evidence.keep_only(ledger.incidents.keys())

    def _notify(self, ledger: Ledger, due: Due) -> float:
        now = datetime.fromtimestamp(self._clock.unix_s(), UTC)
        for one in due.incidents:
            one.finding = one.finding or self._evidence.finding(one)
        wording = Wording(now, self.plan.zone, self.plan.web_url)
        message = wording.message(due.incidents, ledger.left_out)
        picture = None if self._leaves_picture_out else self._evidence.picture(due.incidents)
        outcome = self._attempt(message, picture)
        self._leaves_picture_out = outcome.is_late and picture is not None
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

    def _failed(self, reason: str, again_s: float) -> float:
        if reason != self._trouble:
            log.warning("%s: %s", self.plan.name, reason)
        self._trouble = reason
        return again_s


def _waiting_text(incident: Incident, wait_s: float) -> str:
    """For the log: which incident is not sent yet, and until when."""
    if incident.kind == "alert":
        what = f"the alert {incident.key} of {incident.machine}"
        return f"{what} waits up to {wait_s:g} s for its picture"
    what = f'"{incident.text}" of {incident.machine}'
    return f"{what} is sent if it continues for {wait_s:g} s"
