"""The evidence that messages of earlier processes name: it must be there, or its loss reported."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from monitor.alerts import Alert, alert_to_dict
from monitor.errors import AuscultError
from monitor.evidence.clip import Judge, Request
from monitor.evidence.names import Moment, split_id
from monitor.history.reader import HistoryReader
from monitor.history.records import ALERT_KINDS

log = logging.getLogger(__name__)

_NEWEST = 500
"""So many messages of alerts, and of evidence, are compared."""


def named_evidence(
    alerts: Iterable[Alert], history: HistoryReader | None, judges: Mapping[str, Judge]
) -> list[Request]:
    """The pieces that the alerts and the newest messages in the history name.

    Without those of which the history says that they were kept or lost. ``judges``: by machine;
    those of other machines are left out.
    """
    messages = [alert_to_dict(alert) for alert in alerts]
    settled: set[object] = set()
    if history is not None:
        try:
            found = history.events(kinds=ALERT_KINDS, limit=_NEWEST)
            messages += [event.payload for event in found]
            noted = history.events(kinds=("evidence",), limit=2 * _NEWEST)
            settled = {event.payload.get("evidence_id") for event in noted}
        except AuscultError as error:  # there is none yet, or it cannot be read
            log.debug("the history is not compared with the evidence: %s", error)
    named = {
        request.evidence_id: request
        for message in reversed(messages)
        for request in _named(message, judges)
    }
    return [request for name, request in named.items() if name not in settled]


def _named(message: Mapping[str, Any], judges: Mapping[str, Judge]) -> Iterator[Request]:
    """The piece that a message names, if it names one."""
    try:
        parts = split_id(message["evidence"]["id"])
        judge = judges.get(message["machine"])
        score, threshold = float(message["score"]), float(message["threshold"])
        kind, at = message["kind"], str(message["at"])
    except (KeyError, TypeError, ValueError):
        return
    if parts is None or judge is None:
        return
    moment: Moment = "worse" if parts[1] else "raised"
    if kind == "cleared":
        moment = "cleared"
    ratio = score / threshold if threshold > 0.0 else 0.0
    yield Request(message["machine"], *parts, moment, at, 0.0, 0.0, ratio, judge)
