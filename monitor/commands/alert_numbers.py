"""Identities for alerts that no outbox keeps."""

from __future__ import annotations

from monitor.alert_record import AlertDraft
from monitor.domain import Alert
from monitor.uuid7 import uuid7


class AlertNumbers:
    """Gives the alerts of one machine their ids, and sequence numbers after ``last``."""

    def __init__(self, last: int) -> None:
        self._sequence = last
        self._open_alert_id: str | None = None

    def number(self, draft: AlertDraft) -> Alert:
        """The alert; from raised to cleared it has one ``alert_id``."""
        if draft.kind == "raised" or self._open_alert_id is None:
            self._open_alert_id = str(uuid7())
        self._sequence += 1
        alert = draft.numbered(
            event_id=str(uuid7()), alert_id=self._open_alert_id, sequence=self._sequence
        )
        if draft.kind == "cleared":
            self.end_stream()
        return alert

    def end_stream(self) -> None:
        """What comes next is another recording and no continuation."""
        self._open_alert_id = None
