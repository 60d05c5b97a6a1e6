"""The alerts of one machine, one after the other: each gets its identity here."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from monitor.alerts import Alert, AlertDraft, AlertKind, EvidenceLink
from monitor.uuid7 import uuid7


@dataclass(slots=True)
class AlertSeries:
    """The alerts of one machine so far: gives each new alert its identity.

    ``last_sequence``: the number of the newest alert. ``open``: the newest alert if it
    is not ``cleared``. ``stopped``: the newest alert if it was cleared because the machine
    stopped.
    """

    last_sequence: int
    open: Alert | None = None
    stopped: Alert | None = None

    def identify(self, draft: AlertDraft) -> Alert:
        """The next alert of the machine.

        While an alert is open, the new one continues it: same ``alert_id`` and
        ``started_at``, the higher ``peak_score``, and ``raised`` becomes ``updated``.
        Without an open alert, ``updated`` becomes ``raised``. One that ``continues`` an alert that
        a stop ended has the ``alert_id`` of that alert. Without new evidence or findings, the alert
        has those of the alert that it continues.
        """
        continued = self.open or (self.stopped if draft.continues else None)
        if self.open is not None:
            kind: AlertKind = "updated" if draft.kind == "raised" else draft.kind
            peak_score = max(draft.peak_score, self.open.peak_score)
            started_at = min(self.open.started_at, draft.at)  # the clock may have been set back
            draft = replace(draft, kind=kind, started_at=started_at, peak_score=peak_score)
        elif draft.kind == "updated":
            draft = replace(draft, kind="raised")
        if continued is not None and not draft.findings:
            draft = replace(draft, findings=continued.findings)
        self.last_sequence += 1
        alert_id = continued.alert_id if continued else str(uuid7())
        evidence = continued.evidence if continued else None
        if draft.evidence_number is not None:
            evidence = EvidenceLink.to(alert_id, draft.evidence_number, draft.web_url)
        alert = Alert(
            **asdict(draft),
            event_id=str(uuid7()),
            alert_id=alert_id,
            sequence=self.last_sequence,
            evidence=evidence,
        )
        self.open = None if alert.kind == "cleared" else alert
        if alert.reason != "off":
            self.stopped = alert if alert.reason == "stopped" else None
        return alert
