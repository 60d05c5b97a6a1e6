"""The alerts of a machine with the labels of operators and the sound that was kept of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

FALSE_ALARM = "false-alarm"
FAULT = "fault"
NO_LABEL = ""


@dataclass(frozen=True, slots=True)
class Clip:
    """Sound of an alert. ``path``: FLAC. ``unix_s``: the time of its first sample."""

    evidence_id: str
    path: Path
    unix_s: float


@dataclass(frozen=True, slots=True)
class LabelledAlert:
    """An alert, what operators noted that it was (or ``NO_LABEL``), and its clips in order."""

    alert_id: str
    label: str
    clips: tuple[Clip, ...]


LabelledAlerts = Callable[[], Sequence[LabelledAlert]]
"""The alerts of one machine, the oldest first. It may be called from any thread."""


def no_labelled_alerts() -> Sequence[LabelledAlert]:
    """Without evidence of alerts."""
    return ()


def with_sound_since(labelled: Sequence[LabelledAlert], unix_s: float) -> list[LabelledAlert]:
    """The alerts that have sound from after a time, with this sound only."""
    kept = [
        LabelledAlert(
            alert.alert_id, alert.label, tuple(c for c in alert.clips if c.unix_s >= unix_s)
        )
        for alert in labelled
    ]
    return [alert for alert in kept if alert.clips]
