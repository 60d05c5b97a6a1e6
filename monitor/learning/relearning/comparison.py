"""What a new bundle would change: alerts that were raised, healthy sound, and injected faults."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

from monitor.durable import replace_content
from monitor.learning.relearning.labelled_alerts import FALSE_ALARM, FAULT, LabelledAlert
from monitor.learning.relearning.scoring import BundleFigures, Ratios, Scores

_MUCH_LESS = 0.1
"""A smaller share of injected faults is named if it is smaller by this."""


@dataclass(frozen=True, slots=True)
class ComparedAlert:
    """The highest score in the clips of an alert, divided by the threshold.

    None if nothing in them could be scored. ``is_learned``: whether its sound is in the training.
    ``seconds``: the longest clip.
    """

    alert_id: str
    before: float | None
    after: float | None
    seconds: float
    is_learned: bool = False


@dataclass(frozen=True, slots=True)
class ComparedPiece:
    """A piece of healthy sound, with its highest scores divided by the thresholds.

    ``recorded_at``: when it began, RFC 3339; empty if that is not known any more.
    """

    name: str
    recorded_at: str
    seconds: float
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class ComparedSound:
    """Healthy sound that both bundles can score, and how much of it is above their thresholds."""

    pieces: int = 0
    seconds: float = 0.0
    above_before_s: float = 0.0
    above_after_s: float = 0.0
    worst: list[ComparedPiece] = field(default_factory=list)
    """The pieces with the highest scores of the new bundle, the highest first."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The bundle in use (``before``) and the new one (``after``). ``alerts``: the newest first."""

    MOST_ALERTS: ClassVar[int] = 200
    MOST_PIECES: ClassVar[int] = 50

    made_at: str
    before: BundleFigures
    after: BundleFigures
    healthy: ComparedSound
    alerts: list[ComparedAlert] = field(default_factory=list)

    def fields(self, label: Mapping[str, str]) -> dict[str, Any]:
        """For programs. ``label``: of each alert, now."""
        healthy = self.healthy
        return {
            "made_at": self.made_at,
            "budget": self.after.per_week,
            "provisional": self.after.provisional,
            "thresholds": {"before": self.before.threshold, "after": self.after.threshold},
            "injected_faults": {"before": self.before.recall, "after": self.after.recall},
            "healthy": {
                "pieces": healthy.pieces,
                "minutes": round(healthy.seconds / 60.0, 1),
                "above_before": round(healthy.above_before_s / 60.0, 1),
                "above_after": round(healthy.above_after_s / 60.0, 1),
                "worst": [_piece_fields(one) for one in healthy.worst],
            },
            "alerts": [_alert_fields(one, label.get(one.alert_id, "")) for one in self.alerts],
        }

    def warnings(self, label: Mapping[str, str]) -> list[str]:
        """A sentence for each reason to look twice before the new bundle is accepted."""
        found = [_warning(one, label.get(one.alert_id, "")) for one in self.alerts]
        before, after = self.before.recall, self.after.recall
        if before is not None and after is not None and after < before - _MUCH_LESS:
            found.append(
                f"the new bundle detects {100 * after:.0f} % of the injected faults, "
                f"the bundle in use {100 * before:.0f} %"
            )
        return [line for line in found if line]


def comparison_of(
    scores: Scores,
    labelled: Sequence[LabelledAlert],
    learned: Collection[str],
    made_at: str,
    recorded_at: Mapping[str, str],
) -> Comparison:
    """The comparison by the scores of clips and pieces.

    ``learned``: the clips that were given to the training. ``recorded_at``: of pieces, by name.
    """
    alerts = []
    learned = [one for one in learned if scores.trained is None or one in scores.trained]
    for alert in reversed(labelled):
        found = [scores.clips[c.evidence_id] for c in alert.clips if c.evidence_id in scores.clips]
        if found:
            is_learned = any(clip.evidence_id in learned for clip in alert.clips)
            alerts.append(_compared(alert.alert_id, found, is_learned=is_learned))
    healthy = _healthy(scores.pieces, recorded_at)
    return Comparison(made_at, scores.before, scores.after, healthy, alerts)


@cache
def _comparison() -> TypeAdapter[Comparison]:
    return TypeAdapter(Comparison)


def write_comparison(path: Path, comparison: Comparison) -> None:
    """Replace a file. Raises ``OSError``."""
    replace_content(path, _comparison().dump_json(comparison))


def read_comparison(path: Path) -> Comparison | None:
    """The content of a file; None if it is missing or damaged. Raises ``OSError``."""
    try:
        return _comparison().validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _compared(alert_id: str, found: Sequence[Ratios], *, is_learned: bool) -> ComparedAlert:
    return ComparedAlert(
        alert_id,
        max((one.before for one in found if one.before is not None), default=None),
        max((one.after for one in found if one.after is not None), default=None),
        max(one.seconds for one in found),
        is_learned,
    )


def _healthy(pieces: Sequence[Ratios], recorded_at: Mapping[str, str]) -> ComparedSound:
    both = [
        ComparedPiece(one.name, recorded_at.get(one.name, ""), one.seconds, one.before, one.after)
        for one in pieces
        if one.before is not None and one.after is not None
    ]
    worst = sorted(both, key=lambda one: (one.after, one.before), reverse=True)
    return ComparedSound(
        len(both),
        sum(one.seconds for one in both),
        sum(one.seconds for one in both if _is_above(one.before)),
        sum(one.seconds for one in both if _is_above(one.after)),
        _worst(worst, Comparison.MOST_PIECES),
    )


def _worst(pieces: list[ComparedPiece], most: int) -> list[ComparedPiece]:
    """The first of these, but not without the highest scores of the bundle in use."""
    by_before = sorted(pieces, key=lambda one: one.before, reverse=True)
    wanted = {one.name for one in pieces[: most // 2]}
    for one in (*by_before[: most // 2], *pieces):
        if len(wanted) < most:
            wanted.add(one.name)
    return [one for one in pieces if one.name in wanted]


def _is_above(ratio: float | None) -> bool:
    return ratio is not None and ratio > 1.0


def _piece_fields(piece: ComparedPiece) -> dict[str, Any]:
    return {
        "recorded_at": piece.recorded_at,
        "name": piece.name,
        "seconds": round(piece.seconds, 1),
        "ratio_before": round(piece.before, 3),
        "ratio_after": round(piece.after, 3),
        "above_before": _is_above(piece.before),
        "above_after": _is_above(piece.after),
    }


def _alert_fields(alert: ComparedAlert, label: str) -> dict[str, Any]:
    ratios = asdict(alert)
    return {
        "alert_id": alert.alert_id,
        "label": label or None,
        "ratio_before": None if ratios["before"] is None else round(ratios["before"], 3),
        "ratio_after": None if ratios["after"] is None else round(ratios["after"], 3),
        "alarm_before": _is_above(alert.before),
        "alarm_after": _is_above(alert.after),
        "learned": alert.is_learned,
    }


def _warning(alert: ComparedAlert, label: str) -> str:
    name = f"alert {alert.alert_id} is labelled {label}"
    if label == FAULT and _is_above(alert.before) and not _is_above(alert.after):
        return f"{name}, and the new bundle would not raise it"
    if label == FAULT and not _is_above(alert.before):
        return (
            f"{name}, but its {alert.seconds:.0f} s of stored sound do not show whether the new "
            "bundle would raise it"
        )
    if label == FALSE_ALARM and _is_above(alert.after):
        return f"{name}, and the new bundle would still raise it"
    return ""
