"""The records of the history, as they are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

ALERT_KINDS = ("raised", "updated", "cleared")
"""The kinds of events that are messages of an alert. Their ``payload`` is the alert's JSON."""


class Minute(NamedTuple):
    """What is kept about one machine from ``minute`` (Unix time // 60) for ``minutes`` minutes.

    ``ratio_*``: scores divided by the threshold, None without a score. ``level_dbfs``: None
    without sound. ``operation``: ``running`` or ``off``, whichever lasted longer; None if unknown.
    ``state``: what it was for more than half of the time, or one of its states if none was.
    ``scored_s``, ``received_s`` and ``lost_s``: seconds of sound that was scored, that arrived
    (also if it could not be scored), and that is missing. ``running_s``: seconds of running.
    """

    minute: int
    minutes: int
    ratio_min: float | None
    ratio_mean: float | None
    ratio_max: float | None
    level_dbfs: float | None
    operation: str | None
    state: str
    scored_s: float
    received_s: float
    lost_s: float
    running_s: float
    n_scores: int

    @property
    def start_s(self) -> int:
        """When it begins, Unix time."""
        return self.minute * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened. ``at``: RFC 3339 in UTC, the same time as ``at_unix_s``.

    ``position``: in the order in which events were written, never used twice; 0 before it is
    written. ``kind``: ``state``, ``operation``, ``raised``, ``updated``, ``cleared``,
    ``acknowledge``, ``label``, ``mute``, ``unmute``, ``learn``, ``arm``, ``rollback``,
    ``relearn``, ``bundle``, ``evidence`` or ``warning``. ``event_id``: of an alert's message.
    ``value``: the new state, the label, the seconds of a mute, the stage of the learning, and so
    on. ``user``: the operator; empty for what happened by itself. ``payload``: a JSON object.
    """

    at: str
    at_unix_s: float
    machine: str
    kind: str
    alert_id: str = ""
    event_id: str = ""
    value: str = ""
    user: str = ""
    note: str = ""
    payload: dict[str, Any] = field(default_factory=dict)
    position: int = 0


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """One alert from its beginning to its end.

    ``cleared_at``: None while it is open. ``peak_ratio``: the highest score divided by the
    threshold; None if the alert is not about a score. ``payload``: the JSON of its newest message.
    ``n_updates``: messages ``updated``. ``label`` and ``note``: of an operator, or empty.
    """

    alert_id: str
    machine: str
    raised_at: str
    raised_unix_s: float
    cleared_at: str | None
    cleared_unix_s: float | None
    peak_ratio: float | None
    n_updates: int
    acknowledged: bool
    label: str
    note: str
    payload: dict[str, Any]
