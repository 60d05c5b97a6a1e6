"""Joins the labels of operators with the sound that was kept of each alert."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from monitor.evidence.folder import EvidenceFolder
from monitor.learning.relearning.labelled_alerts import Clip, LabelledAlert
from monitor.service.muting import Muting

log = logging.getLogger(__name__)


class AlertLabels:
    """The labelled alerts of all machines. ``state_dir``: has the folder ``evidence``."""

    def __init__(self, muting: Muting, state_dir: Path) -> None:
        self._muting = muting
        self._evidence = EvidenceFolder(state_dir / "evidence")

    def of(self, machine: str) -> list[LabelledAlert]:
        """The newest alerts of a machine that have sound, the oldest first."""
        with self._muting.guard:
            known = [
                (alert.alert_id, alert.label)
                for alert in self._muting.operators.alerts.values()
                if alert.machine == machine
            ]
        found = [
            LabelledAlert(alert_id, label, tuple(self._clips(alert_id)))
            for alert_id, label in known
        ]
        return [alert for alert in found if alert.clips]

    def has_sound(self, alert_id: str) -> bool:
        """Whether sound of an alert is kept."""
        return any(True for _ in self._clips(alert_id))

    def _clips(self, alert_id: str) -> Iterator[Clip]:
        for piece in self._evidence.pieces(alert_id):
            if piece.sound_path is None:
                continue
            try:
                starts_at = datetime.fromisoformat(str(piece.metadata["starts_at"]))
            except (KeyError, ValueError):
                log.warning("evidence %s has no time: it is not relearned", piece.evidence_id)
                continue
            yield Clip(piece.evidence_id, piece.sound_path, starts_at.timestamp())
