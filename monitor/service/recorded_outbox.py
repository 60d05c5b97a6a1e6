"""An outbox whose alerts are in the history before it forgets them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, ClassVar

from monitor.alerts import Alert, AlertDraft
from monitor.outbox.queue import Outbox
from monitor.service.history_feed import HistoryFeed


class RecordedOutbox(Outbox):
    """Every alert is also added to the history: so is an alert that an earlier process left here.

    An alert that the broker has acknowledged is removed after the history has it on the disk. If
    the disk refuses the history, or is slow, it is removed all the same.
    """

    LONGEST_WAIT_S: ClassVar[float] = 2.0
    _MOST_AT_START: ClassVar[int] = 2000
    _MOST_RECORDED: ClassVar[int] = 10_000

    def __init__(self, path: Path, history: HistoryFeed, **limits: Any) -> None:
        super().__init__(path, **limits)
        self._history = history
        self._recording = threading.Lock()
        """Held until a new alert is in the history, at least in memory."""
        self._recorded: dict[str, None] = {}
        self.pending(self._MOST_AT_START)

    def append(self, draft: AlertDraft) -> Alert:
        """As the outbox does, and into the history."""
        with self._recording:
            alert = super().append(draft)
            self._record(alert)
        return alert

    def pending(self, limit: int = 100, machine: str | None = None) -> list[Alert]:
        """As the outbox does; what is pending is about to be sent, so the history must have it."""
        alerts = super().pending(limit, machine)
        for alert in alerts:
            self._record(alert)
        return alerts

    def acknowledge(self, event_id: str) -> None:
        """As the outbox does, after the history has the alert."""
        with self._recording:
            pass
        self._history.wait_for(event_id, self.LONGEST_WAIT_S)
        super().acknowledge(event_id)

    def _record(self, alert: Alert) -> None:
        """Add an alert, unless this process has added it already."""
        if alert.event_id in self._recorded:
            return
        self._recorded[alert.event_id] = None
        if len(self._recorded) > self._MOST_RECORDED:
            self._recorded.pop(next(iter(self._recorded)), None)
        self._history.alert(alert)
