"""Alerts: the record, drafts without an identity, identities, and alerts as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from monitor.errors import BadInputError
from monitor.uuid7 import uuid7

AlertKind = Literal["raised", "updated", "cleared"]


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it is published; see ``docs/mqtt.md`` for every field.

    ``at`` and ``started_at`` are RFC 3339 in UTC with milliseconds.
    ``sequence`` counts the alerts of one machine and is never reused.
    """

    event_id: str
    alert_id: str
    kind: AlertKind
    machine: str
    at: str
    started_at: str
    score: float
    peak_score: float
    threshold: float
    loss: float
    false_alarms_per_week: float
    bands_hz: tuple[tuple[float, float], ...]
    bundle_sha256: str
    sequence: int
    replayed: bool = False
    schema_version: int = 1


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


_TEXT = ("event_id", "alert_id", "machine", "at", "started_at", "bundle_sha256")
_NUMBERS = ("score", "peak_score", "threshold", "loss", "false_alarms_per_week")
_WHOLE = ("sequence", "schema_version")


@dataclass(frozen=True, slots=True)
class AlertDraft:
    """An ``Alert`` that the outbox has not yet given its ids and its sequence number.

    Fields as in ``Alert``.
    """

    kind: AlertKind
    machine: str
    at: str
    started_at: str
    score: float
    peak_score: float
    threshold: float
    loss: float
    false_alarms_per_week: float
    bands_hz: tuple[tuple[float, float], ...]
    bundle_sha256: str
    replayed: bool = False

    def numbered(self, *, event_id: str, alert_id: str, sequence: int) -> Alert:
        """The alert with its identity."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return Alert(event_id=event_id, alert_id=alert_id, sequence=sequence, **fields)


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that was raised and is not cleared; ``last`` is the newest message about it."""

    last: Alert

    @property
    def machine(self) -> str:
        return self.last.machine

    @property
    def alert_id(self) -> str:
        return self.last.alert_id

    @property
    def started_at(self) -> str:
        return self.last.started_at

    @property
    def peak_score(self) -> float:
        return self.last.peak_score

    def cleared(self, at: str, score: float | None = None) -> AlertDraft:
        """The draft that ends it at ``at``, with the last known score unless one is given."""
        fields = {name: getattr(self.last, name) for name in AlertDraft.__slots__}
        fields |= {
            "kind": "cleared",
            "at": at,
            "score": self.last.score if score is None else score,
        }
        return AlertDraft(**fields)


def alert_to_dict(alert: Alert) -> dict[str, Any]:
    """The JSON object of ``docs/mqtt.md``, keys in the order in which people read them."""
    fields = asdict(alert)
    fields["bands_hz"] = [list(band) for band in alert.bands_hz]
    return {"schema_version": fields.pop("schema_version"), **fields}


def alert_from_dict(fields: Mapping[str, Any]) -> Alert:
    """The inverse of ``alert_to_dict``. Raises ``BadInputError`` on anything else."""
    expected = set(Alert.__slots__)
    if set(fields) != expected:
        odd = ", ".join(sorted(set(fields) ^ expected))
        raise BadInputError(f"not an alert: these keys are missing or unknown: {odd}")
    wrong = [name for name in _TEXT if not isinstance(fields[name], str)]
    wrong += [name for name in _NUMBERS if not _is_finite(fields[name])]
    wrong += [name for name in _WHOLE if type(fields[name]) is not int]
    if fields["kind"] not in get_args(AlertKind):
        wrong.append("kind")
    if type(fields["replayed"]) is not bool:
        wrong.append("replayed")
    bands = fields["bands_hz"]
    if not isinstance(bands, list | tuple) or not all(map(_is_band, bands)):
        wrong.append("bands_hz")
    if wrong:
        raise BadInputError(f"not an alert: wrong value in {', '.join(wrong)}")
    return Alert(**{**fields, "bands_hz": tuple((band[0], band[1]) for band in bands)})


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_band(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_finite, value))
