"""Alerts: the record, and alerts as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from monitor.clock import Clock, moved_rfc3339, rfc3339
from monitor.errors import BadInputError

AlertKind = Literal["raised", "updated", "cleared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceLink:
    """The newest evidence of an alert: its id, and its addresses if there is a web page.

    ``url``: the page of the alert. ``clip_url``: the sound. ``picture_url``: the picture.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    id: str
    url: str = ""
    clip_url: str = ""
    picture_url: str = ""

    @classmethod
    def to(cls, alert_id: str, number: int, web_url: str) -> EvidenceLink:
        """The link to a piece. ``web_url``: where the web page is, or empty without one."""
        name = f"{alert_id}-{number}"
        if not web_url:
            return cls(id=name)
        return cls(
            id=name,
            url=f"{web_url}/alert/{alert_id}",
            clip_url=f"{web_url}/evidence/{name}/clip.flac",
            picture_url=f"{web_url}/evidence/{name}/picture.png",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertDraft:
    """An alert without its identity; ``docs/mqtt.md`` explains every field.

    ``at`` and ``started_at`` are RFC 3339 in UTC with milliseconds. ``bands_hz`` holds
    pairs of lowest and highest frequency, and is always empty in a ``cleared`` alert,
    because the sound is healthy again.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    kind: AlertKind
    machine: str
    at: str
    started_at: str
    score: float
    peak_score: float
    threshold: float
    loss: float
    false_alarms_per_week: float
    bands_hz: tuple[tuple[float, float], ...] = ()
    bundle_sha256: str
    replayed: bool = False
    reason: str = ""
    """``stopped``: cleared because the machine was switched off. ``off``: not about the score, the
    machine must run and is off."""
    provisional: bool = False
    """Whether the threshold is not yet tested on enough sound."""
    dated_by_clock: bool = True
    """Whether the times come from the system clock, and not from a recording. Not published."""
    clock_offset_s: float | None = None
    """``Clock.offset_s`` when the times were computed; None if they were computed just now. Only of
    a draft."""
    continues: bool = False
    """Whether the fault is that of the last alert, which a stop ended. Not published."""
    span_s: float = 0.0
    """Seconds of sound in the score. 0, and not published, if it is unknown (alerts of earlier
    versions) or the alert is not about a score."""
    channel: str = ""
    """The evidence of the score: ``distance``, ``envelope`` or ``lines``, as in the bundle. Empty,
    and not published, as ``span_s``."""
    findings: tuple[dict[str, Any], ...] = ()
    """What a diagnosis found in the sound, the most certain first. Not published if it is empty."""
    position_s: float | None = None
    """Where in the stream the decision was made; None if no sound decided it. Not published."""
    evidence_number: int | None = None
    """The number of the newest piece of evidence, if one was kept since the last message."""
    web_url: str = ""
    """Where the web page is; empty without one. Not published by itself."""

    def __post_init__(self) -> None:
        if self.kind == "cleared":  # earlier versions stored frequencies here
            object.__setattr__(self, "bands_hz", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert(AlertDraft):
    """An alert as it is published.

    ``event_id`` identifies the message, ``alert_id`` is the same from ``raised`` to
    ``cleared``. ``sequence`` counts the alerts of one machine and is never reused.
    ``evidence``: the newest piece that is kept, or will be within seconds; None without any.
    """

    event_id: str
    alert_id: str
    sequence: int
    schema_version: int = 1
    evidence: EvidenceLink | None = None

    def diagnosed(self, at: str, findings: Sequence[Mapping[str, Any]]) -> AlertDraft:
        """The draft of a message that continues this alert with what a diagnosis found."""
        known = {field.name: getattr(self, field.name) for field in fields(AlertDraft)}
        known |= {"kind": "updated", "continues": False, "findings": tuple(map(dict, findings))}
        known |= {
            "at": max(at, self.at) if self.dated_by_clock else self.at,
            "position_s": None,
            "evidence_number": None,
        }
        return AlertDraft(**known)

    def cleared_now(self, clock: Clock) -> AlertDraft:
        """The draft that ends this alert now."""
        offset_s = clock.offset_s()
        return replace(self.cleared(rfc3339(clock.unix_s())), clock_offset_s=offset_s)

    def cleared(self, at: str, score: float | None = None) -> AlertDraft:
        """The draft that ends this alert at ``at``, by default with the last known score."""
        known = {field.name: getattr(self, field.name) for field in fields(AlertDraft)}
        known |= {"kind": "cleared", "at": at, "continues": False}
        known |= {"position_s": None, "evidence_number": None}
        return AlertDraft(**known if score is None else known | {"score": score})


Dated = TypeVar("Dated", bound=AlertDraft)


def dated_by(draft: AlertDraft, clock: Clock) -> AlertDraft:
    """The draft with its times moved, if the system clock was set since they were computed."""
    if draft.clock_offset_s is None:
        return draft
    moved = redated(draft, clock.set_since_s(clock.moment_of(draft.clock_offset_s)))
    return replace(moved, clock_offset_s=None)


def redated(alert: Dated, by_s: float) -> Dated:
    """The alert with its times moved, after the system clock was set by ``by_s``.

    The times of a recording do not depend on the clock and stay.
    """
    if not alert.dated_by_clock or not by_s:
        return alert
    return replace(
        alert, at=moved_rfc3339(alert.at, by_s), started_at=moved_rfc3339(alert.started_at, by_s)
    )


def dated_until(alert: Alert, latest_unix_s: float) -> Alert:
    """The alert with its times moved so that ``at`` is not later than ``latest_unix_s``.

    A recording may state a time in the future, and so may a clock that was set back since.
    """
    try:
        too_late_s = datetime.fromisoformat(alert.at).timestamp() - latest_unix_s
    except (ValueError, OverflowError):
        return alert
    if too_late_s <= 0:
        return alert
    at = moved_rfc3339(alert.at, -too_late_s)
    return replace(alert, at=at, started_at=moved_rfc3339(alert.started_at, -too_late_s))


_FIRST_KEYS = ("schema_version", "event_id", "alert_id")
_LAST_KEYS = ("sequence", "replayed", "span_s", "channel", "evidence", "findings")
_NOT_PUBLISHED = (
    *("dated_by_clock", "clock_offset_s", "continues"),
    *("position_s", "evidence_number", "web_url"),
)


def alert_to_dict(alert: Alert) -> dict[str, Any]:
    """The JSON object of ``docs/mqtt.md``; a ``cleared`` alert has no ``bands_hz``."""
    values = asdict(alert)
    for key in _NOT_PUBLISHED:
        del values[key]
    values["bands_hz"] = [list(band) for band in alert.bands_hz]
    if alert.kind == "cleared":
        del values["bands_hz"]
    if not alert.reason:
        del values["reason"]
    if not alert.provisional:
        del values["provisional"]
    if not alert.span_s > 0:
        del values["span_s"]
    if not alert.channel:
        del values["channel"]
    values["findings"] = list(values["findings"])
    if not alert.findings:
        del values["findings"]
    if alert.evidence is None:
        del values["evidence"]
    else:
        values["evidence"] = {key: text for key, text in values["evidence"].items() if text}
    first = {key: values.pop(key) for key in _FIRST_KEYS}
    last = {key: values.pop(key) for key in _LAST_KEYS if key in values}
    return first | values | last


_ALERT = TypeAdapter(Alert)
_KEY_ERRORS = {"missing": "is missing", "unexpected_keyword_argument": "is unknown"}


def alert_from_json(text: str) -> Alert:
    """The alert that ``alert_to_dict`` made an object of.

    Raises ``BadInputError`` that names each key that is missing, unknown or has a wrong value.
    """
    try:
        return _ALERT.validate_json(text, strict=True)
    except ValidationError as error:
        faults = [
            f"{one['loc'][0] if one['loc'] else 'the text'} "
            + _KEY_ERRORS.get(one["type"] if len(one["loc"]) == 1 else "", "has a wrong value")
            for one in error.errors(include_url=False, include_input=False)
        ]
        raise BadInputError(f"not an alert: {', '.join(dict.fromkeys(faults))}") from None
