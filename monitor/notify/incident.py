"""What happened to one machine, from its beginning to its end, as one thing to send.

An alert is an incident, and so is a time in which the sound of a machine cannot be judged. All that
happens before a message is sent is folded into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Kind = Literal["alert", "warning", "source"]


@dataclass(slots=True, kw_only=True)
class Incident:
    """One incident, with what a message about it needs.

    Times are RFC 3339 in UTC; ``ended_at`` is empty while it continues. ``position``: that of the
    oldest event in the history that was not sent; below 0 if that was in an earlier file.
    ``order``: of what the outbox had before the history, in its order; those with the same position
    are sent in this order.
    ``sequence``: that of the newest message of an alert; 0 without one. ``is_sent``: whether its
    beginning was sent.
    """

    key: str
    kind: Kind
    machine: str
    position: int
    started_at: str
    order: int = 0
    sequence: int = 0
    ended_at: str = ""
    is_sent: bool = False
    times: int = 1
    """How often it began: a fault that comes back after a stop is the same alert."""
    updates: int = 0
    severity: str = "alarm"
    reason: str = ""
    """Of an alert. ``off``: the machine must run and is off."""
    end_reason: str = ""
    """Of an alert. ``stopped``: it ended because the machine was switched off."""
    ratio: float | None = None
    peak_ratio: float | None = None
    bands_hz: list[tuple[float, float]] = field(default_factory=list)
    operation: str = ""
    span_s: float = 0.0
    """Seconds of sound in the score; 0 if it is unknown."""
    is_recurring: bool = False
    """Whether the score is of short sounds that come again and again."""
    finding: str = ""
    """What a diagnosis found in the sound, the most certain: one sentence. Empty if nothing."""
    provisional: bool = False
    evidence_id: str = ""
    lost_evidence_id: str = ""
    """Evidence of which the daemon reported that it is lost."""
    text: str = ""
    """Of a warning and of a trouble of the source: one line for people."""
    remarks: list[str] = field(default_factory=list)
    """What operators noted, the oldest first."""

    @property
    def has_ended(self) -> bool:
        """Whether it is over."""
        return bool(self.ended_at)

    @property
    def is_pending(self) -> bool:
        """Whether there is something that was not sent."""
        return not self.is_sent or self.has_ended

    @property
    def is_new_alert(self) -> bool:
        """Whether it is an alert that continues, and of which nothing was sent."""
        return self.kind == "alert" and not self.is_sent and not self.has_ended

    def lasted_s(self) -> float:
        """From its beginning to its end in seconds, by the dates; 0 if one of them is none."""
        try:
            begin, end = map(datetime.fromisoformat, (self.started_at, self.ended_at))
            return max(0.0, (end - begin).total_seconds())
        except (ValueError, TypeError):
            return 0.0

    def begin_again(self) -> None:
        """It continues, or is back after its end."""
        if self.has_ended:
            self.ended_at = self.end_reason = ""
            self.times += 1

    def end(self, at: str, position: int) -> None:
        """It is over."""
        if not self.is_pending:
            self.position = position
        self.ended_at = at

    def take_alert(self, kind: str, position: int, alert: Mapping[str, Any]) -> None:
        """Fold a message of an alert: ``raised``, ``updated`` or ``cleared``.

        ``alert``: its JSON, of which nothing needs to be valid.
        """
        self.sequence = max(self.sequence, whole(alert.get("sequence")))
        self.severity = text(alert, "severity") or self.severity
        self.operation = text(alert, "operation") or self.operation
        self.span_s = _number(alert.get("span_s")) or self.span_s
        self.is_recurring = text(alert, "channel").startswith("recurring_")
        self.provisional = alert.get("provisional") is True
        self.finding = first_finding(alert) or self.finding
        self._measure(alert)
        if kind != "raised" and self.times == 1:  # moved if the clock was set since it was raised
            self.started_at = text(alert, "started_at") or self.started_at
        if kind == "cleared":
            self.end(text(alert, "at") or self.started_at, position)
            self.end_reason = text(alert, "reason")
            return
        self.updates += kind == "updated"
        self.begin_again()
        self.reason = text(alert, "reason")
        self.bands_hz = _bands(alert.get("bands_hz")) or self.bands_hz
        evidence = alert.get("evidence")
        if isinstance(evidence, dict):
            self.evidence_id = text(evidence, "id") or self.evidence_id

    def _measure(self, alert: Mapping[str, Any]) -> None:
        threshold = _number(alert.get("threshold"))
        if threshold is None or threshold <= 0 or "off" in (self.reason, alert.get("reason")):
            return
        ratios = [
            value / threshold
            for key in ("score", "peak_score")
            if (value := _number(alert.get(key))) is not None
        ]
        self.ratio = ratios[0] if ratios else self.ratio
        known = [] if self.peak_ratio is None else [self.peak_ratio]
        self.peak_ratio = max([*ratios, *known], default=None)


def alert_incident(
    alert_id: str, machine: str, position: int, alert: Mapping[str, Any]
) -> Incident:
    """A new incident for an alert of which ``alert`` is the first message that arrived."""
    started_at = text(alert, "started_at") or text(alert, "at")
    return Incident(
        key=alert_id, kind="alert", machine=machine, position=position, started_at=started_at
    )


def text(alert: Mapping[str, Any], key: str) -> str:
    """A text of a JSON object; empty if there is none."""
    value = alert.get(key)
    return value if isinstance(value, str) else ""


def first_finding(document: Mapping[str, Any]) -> str:
    """The text of the first of the findings in a JSON object; empty if there is none."""
    findings = document.get("findings")
    first = findings[0] if isinstance(findings, list) and findings else None
    return text(first, "text") if isinstance(first, dict) else ""


def whole(value: object) -> int:
    """A whole number of a JSON object; 0 if it is none."""
    return value if isinstance(value, int) else 0


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _bands(value: object) -> list[tuple[float, float]]:
    found = []
    for pair in value if isinstance(value, list) else []:
        numbers = [_number(one) for one in pair] if isinstance(pair, list) else []
        if len(numbers) == 2 and numbers[0] is not None and numbers[1] is not None:
            found.append((numbers[0], numbers[1]))
    return found
