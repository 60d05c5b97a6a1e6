"""An outbox that keeps alerts until broker and history have them and evidence is settled."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from monitor.alerts import Alert, AlertDraft
from monitor.outbox.queue import Outbox
from monitor.service.history_feed import HistoryFeed


class RecordedOutbox(Outbox):
    """Every alert is also added to the history: so is an alert that an earlier process left here.

    An alert that the broker has acknowledged is removed when the history has it on the disk. If
    the disk refuses the history, or is slow, the alert is kept among ``unrecorded`` and added
    again when the disk accepts the history, also after a kill. The history has each message once:
    it recognises them by their ``event_id``.

    An alert that names evidence is kept among ``unrecorded`` until the evidence is written or its
    loss is reported (:meth:`settle`). Otherwise, if the history is destroyed before a kill, nobody
    would know after it that there should be evidence.
    """

    LONGEST_PROMISE_S: ClassVar[float] = 600.0
    """Evidence that is not settled by then is not waited for."""

    LONGEST_WAIT_S: ClassVar[float] = 0.5
    """A disk that works has the alert by then. If one does not, later alerts do not wait."""
    _MOST_AT_START: ClassVar[int] = 2000
    _AT_ONCE: ClassVar[int] = 200
    _MOST_SETTLED: ClassVar[int] = 1000

    def __init__(self, path: Path, history: HistoryFeed, **limits: Any) -> None:
        super().__init__(path, **limits)
        self._history = history
        self._recording = threading.RLock()
        """Held until a new alert is in the history, at least in memory."""
        self._is_slow = False
        self._promising = threading.Lock()
        self._promised: dict[str, tuple[str, float]] = {}
        """The evidence that messages name and when they were added, by ``event_id``."""
        self._settled: deque[str] = deque(maxlen=self._MOST_SETTLED)
        self._position: int | None = 0
        """From where on the waiting alerts are compared with the history; None if all were."""
        self._lapses = history.lapses()
        for alert in self.unrecorded(self._MOST_AT_START):
            history.alert(alert)  # before those that are newer
        self.pending(self._MOST_AT_START)

    def append(self, draft: AlertDraft) -> Alert:
        """As the outbox does, and into the history."""
        with self._recording:
            alert = super().append(draft)
            self._promise(alert)
            self._history.alert(alert)
        return alert

    def diagnosed(
        self,
        machine: str,
        alert_id: str,
        findings: Sequence[Mapping[str, Any]],
        *,
        is_muted: bool = False,
    ) -> Alert | None:
        """As the outbox does, and into the history."""
        with self._recording:  # before the lock of the outbox, as in ``append``
            return super().diagnosed(machine, alert_id, findings, is_muted=is_muted)

    def settle(self, evidence_id: str) -> None:
        """The evidence is on the disk, or its loss was reported."""
        with self._promising:
            self._settled.append(evidence_id)
            self._promised = {
                name: one for name, one in self._promised.items() if one[0] != evidence_id
            }

    def _promise(self, alert: Alert) -> None:
        evidence = alert.evidence
        with self._promising:
            if evidence is not None and evidence.id not in self._settled:
                self._promised[alert.event_id] = evidence.id, time.monotonic()

    def pending(self, limit: int = 100, machine: str | None = None) -> list[Alert]:
        """As the outbox does; what is pending is about to be sent, so the history must have it."""
        alerts = super().pending(limit, machine)
        for alert in alerts:
            self._history.alert(alert)
        return alerts

    def acknowledge(self, event_id: str, *, is_recorded: bool = True) -> None:
        """As the outbox does; the alert is kept until the history has it."""
        with self._recording:
            pass
        wait_s = 0.0 if self._is_slow else self.LONGEST_WAIT_S
        has_it = self._history.has(event_id, wait_s)
        self._is_slow = not has_it
        is_settled = event_id not in self._promised
        super().acknowledge(event_id, is_recorded=is_recorded and has_it and is_settled)

    def turn(self) -> None:
        """Add to the history what it lacks, and forget what it has. Call it about every second."""
        self.keep_place()
        if not self._history.accepts_alerts():
            return
        unrecorded = self.unrecorded(self._AT_ONCE)
        written = [one.event_id for one in unrecorded if self._history.has(one.event_id)]
        with self._promising:
            oldest_s = time.monotonic() - self.LONGEST_PROMISE_S
            self._promised = {
                name: one for name, one in self._promised.items() if one[1] > oldest_s
            }
            done = [name for name in written if name not in self._promised]
        if done:
            self.recorded(done)
        for alert in unrecorded:
            self._history.alert(alert)
        self._is_slow = self._is_slow and len(written) < len(unrecorded)
        self._compare()

    def _compare(self) -> None:
        """Add some of the waiting alerts that the history may lack.

        All of them are compared after the start, and when the history may have lost some.
        """
        lapses = self._history.lapses()
        if lapses != self._lapses:
            self._lapses, self._position = lapses, 0
        if self._position is not None:
            alerts, last = self.after(self._position, self._AT_ONCE)
            self._position = last or None
            for alert in alerts:
                self._history.alert(alert)
