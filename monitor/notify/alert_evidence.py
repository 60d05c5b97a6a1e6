"""What the evidence of an alert adds to its message: a picture, and what a diagnosis found."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from monitor.clock import Clock
from monitor.evidence.folder import EvidenceFolder
from monitor.notify.incident import Incident, first_finding
from monitor.notify.plan import Plan

_MOST_PICTURE_BYTES = 2_000_000


class AlertEvidence:
    """The evidence of the alerts of one target. Used by one thread."""

    FINDINGS_WAIT_S: ClassVar[float] = 20.0
    """How long complete sound waits for what a diagnosis finds in it."""

    def __init__(self, plan: Plan, folder: EvidenceFolder, clock: Clock) -> None:
        self._plan = plan
        self._folder = folder
        self._clock = clock
        self._complete_s: dict[str, float] = {}
        """Since when the sound of an alert is complete."""

    def wants_picture(self, incident: Incident) -> bool:
        """Whether there is a picture, or will be."""
        is_lost = incident.evidence_id == incident.lost_evidence_id
        return self._plan.attach_picture and bool(incident.evidence_id) and not is_lost

    def is_complete(self, incident: Incident) -> bool:
        """Whether the sound of an alert is complete, and diagnosed if it will be."""
        piece = self._folder.piece(incident.evidence_id)
        if piece is None:
            return False
        if not self._plan.waits_for_findings or piece.sound_path is None:
            return True
        now_s = self._clock.steady_s()
        since_s = self._complete_s.setdefault(incident.key, now_s)
        return "diagnosis" in piece.metadata or now_s - since_s >= self.FINDINGS_WAIT_S

    def keep_only(self, keys: Collection[str]) -> None:
        """Forget incidents that are no longer there."""
        for key in self._complete_s.keys() - keys:
            del self._complete_s[key]

    def finding(self, incident: Incident) -> str:
        """What was found in the sound of an alert, also if the alert had ended before."""
        piece = self._folder.piece(incident.evidence_id) if incident.kind == "alert" else None
        diagnosis = piece.metadata.get("diagnosis") if piece is not None else None
        return first_finding(diagnosis) if isinstance(diagnosis, dict) else ""

    def picture(self, incidents: tuple[Incident, ...]) -> bytes | None:
        """The picture of the new alert; None if the message is about several of them."""
        is_single = len(incidents) == 1
        new = [one for one in incidents if one.is_new_alert or (is_single and not one.is_sent)]
        if len(new) != 1 or not self.wants_picture(new[0]):
            return None
        piece = self._folder.piece(new[0].evidence_id)
        if piece is None or piece.picture_path is None:
            return None
        try:
            with piece.picture_path.open("rb") as file:
                content = file.read(_MOST_PICTURE_BYTES + 1)
        except OSError:  # it was removed meanwhile
            return None
        return content if len(content) <= _MOST_PICTURE_BYTES else None
