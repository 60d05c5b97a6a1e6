"""The documents and pages of alerts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from monitor.clock import SYSTEM_CLOCK, rfc3339
from monitor.errors import MissingInputError
from monitor.evidence.folder import Piece
from monitor.evidence.names import is_alert_id
from monitor.history.records import AlertRecord, Event
from monitor.text.escaping import one_line
from monitor.web.answers import json_answer
from monitor.web.context import Context, context_of
from monitor.web.machines import banners
from monitor.web.past import alert_document, event_document
from monitor.web.query import unix_time, whole_number
from monitor.web.texts import Sentence, sentence_document

_DAY_S = 86_400.0
_BESIDE_S = 3600.0
_MOST_ALERTS = 1000
_WRITTEN_WITHIN_S = 20.0
"""A piece of evidence is complete at most this long after its last sound, or is not kept."""
_DECIDED_WITHIN_S = 5.0
"""The time of an alert is that of its sound, which the clock may be behind by so much."""
_MOST_EVENTS = 200


async def alerts_document(request: Request) -> dict[str, Any]:
    """The newest alerts first."""
    context = context_of(request)
    alerts = await context.past.alerts(
        machine=request.query_params.get("machine") or None,
        since_s=unix_time(request, "since", 0.0),
        until_s=unix_time(request, "until", time.time() + _DAY_S),
        limit=whole_number(request, "limit", 200, most=_MOST_ALERTS),
    )
    status = await context.daemon.status()
    return {
        "now": rfc3339(SYSTEM_CLOCK.unix_s()),
        "monitoring": context.daemon.monitoring,
        "banners": [*map(sentence_document, banners(context, status))],
        "alerts": [alert_document(alert) for alert in alerts],
    }


async def alert_page_document(context: Context, alert_id: str) -> dict[str, Any]:
    """One alert with its evidence. Raises ``MissingInputError`` if it is unknown."""
    if not is_alert_id(alert_id):
        raise MissingInputError(Sentence("refusal.no_alert", alert=one_line(alert_id)))
    record = await context.past.alert(alert_id)
    pieces = await context.workers.run(context.evidence.pieces, alert_id)
    status = await context.daemon.status()
    document = (
        alert_document(record)
        if record is not None
        else _of_daemon(status, alert_id) or _of_evidence(alert_id, pieces)
    )
    if document is None:
        raise MissingInputError(Sentence("refusal.no_alert", alert=alert_id))
    healthy = await context.workers.run(_healthy, context, document["machine"], pieces)
    events = await _events(context, record)
    document["bands_hz"] = _bands(document["payload"], events)
    return {
        "now": rfc3339(SYSTEM_CLOCK.unix_s()),
        "monitoring": context.daemon.monitoring,
        "banners": [*map(sentence_document, banners(context, status))],
        "alert": document,
        "sound_ready_in_s": None if pieces else _sound_ready_in_s(context, document),
        "pieces": [_shown(piece) for piece in pieces],
        "healthy": piece_document(healthy) if healthy is not None else None,
        "events": [event_document(event) for event in events],
    }


def piece_document(piece: Piece) -> dict[str, Any]:
    """The metadata of a piece of evidence, and which files it has."""
    return {
        **piece.metadata,
        "has_sound": piece.sound_path is not None,
        "has_images": piece.arrays_path is not None,
        "has_picture": piece.picture_path is not None,
    }


def _shown(piece: Piece) -> dict[str, Any]:
    """The same without the spectra, which are drawn once: the page is asked for again and again."""
    document = piece_document(piece)
    diagnosis = document.get("diagnosis")
    if isinstance(diagnosis, dict):
        document["diagnosis"] = {key: diagnosis[key] for key in diagnosis if key != "spectra"}
    return document


async def api_alerts(request: Request) -> Response:
    """``api/alerts?machine=&since=&until=&limit=``."""
    return json_answer(await alerts_document(request))


async def alerts_page(request: Request) -> Response:
    """``alerts``."""
    document = await alerts_document(request)
    return context_of(request).pages.page(request, "alerts.html", {"data": document})


async def api_alert(request: Request) -> Response:
    """``api/alert/<alert_id>``."""
    context = context_of(request)
    return json_answer(await alert_page_document(context, request.path_params["alert_id"]))


async def alert_page(request: Request) -> Response:
    """``alert/<alert_id>``."""
    context = context_of(request)
    document = await alert_page_document(context, request.path_params["alert_id"])
    return context.pages.page(request, "alert.html", {"data": document})


async def _events(context: Context, record: AlertRecord | None) -> list[Event]:
    """What happened to the machine from an hour before the alert to an hour after it."""
    if record is None:
        return []
    ends_s = record.cleared_unix_s
    return await context.past.events(
        machine=record.machine,
        since_s=record.raised_unix_s - _BESIDE_S,
        until_s=ends_s + _BESIDE_S if ends_s is not None else None,
        limit=_MOST_EVENTS,
    )


def _bands(payload: Mapping[str, Any], events: Sequence[Event]) -> list[Any]:
    """The frequencies of the newest message that names some: a ``cleared`` one names none."""
    alert_id = payload.get("alert_id")
    of_alert = (one.payload for one in events if one.alert_id == alert_id)
    for message in (payload, *of_alert):
        bands = message.get("bands_hz")
        if isinstance(bands, list) and bands:
            return bands
    return []


def _sound_ready_in_s(context: Context, document: Mapping[str, Any]) -> float | None:
    """Seconds until the sound is complete, 0 while it is written; None if none is expected."""
    raised_s = document["raised_unix_s"]
    if raised_s is None or context.sound_after_s is None:
        return None
    left_s = float(raised_s) + context.sound_after_s - SYSTEM_CLOCK.unix_s()
    if not -_WRITTEN_WITHIN_S < left_s <= context.sound_after_s + _DECIDED_WITHIN_S:
        return None  # an earlier alert, or one of a recording
    return max(0.0, round(left_s, 1))


def _healthy(context: Context, machine: str, pieces: Sequence[Piece]) -> Piece | None:
    """Healthy sound in the same operating state, or in any if there is none."""
    wanted = [str(one.metadata["operation"]) for one in pieces if one.metadata.get("operation")]
    for operation in (*wanted[:1], *context.evidence.healthy_operations(machine)):
        if (found := context.evidence.healthy(machine, operation)) is not None:
            return found
    return None


def _of_daemon(status: Mapping[str, Any] | None, alert_id: str) -> dict[str, Any] | None:
    """An alert that is open now, for a node without a history."""
    for machine in status["machines"] if status else ():
        alert, state = machine.get("alert") or {}, machine.get("state") or {}
        if alert.get("alert_id") == alert_id:
            score, threshold = alert.get("peak_score"), alert.get("threshold")
            return {
                "alert_id": alert_id,
                "machine": machine["id"],
                "fault_began_at": alert.get("started_at"),
                "raised_at": alert.get("started_at"),
                "raised_unix_s": _unix_s(alert.get("started_at")),
                "cleared_at": None,
                "cleared_unix_s": None,
                "peak_ratio": score / threshold if score and threshold else None,
                "n_updates": 0,
                "acknowledged": bool(state.get("acknowledged")),
                "label": state.get("label") or "",
                "note": "",
                "payload": alert,
            }
    return None


def _of_evidence(alert_id: str, pieces: Sequence[Piece]) -> dict[str, Any] | None:
    """An alert of which only the evidence is left."""
    if not pieces:
        return None
    first, last = pieces[0].metadata, pieces[-1].metadata
    cleared_at = last["at"] if last.get("moment") == "cleared" else None
    return {
        "alert_id": alert_id,
        "machine": first["machine"],
        "fault_began_at": first["at"],
        "raised_at": first["at"],
        "raised_unix_s": _unix_s(first["at"]),
        "cleared_at": cleared_at,
        "cleared_unix_s": _unix_s(cleared_at),
        "peak_ratio": first.get("ratio"),
        "n_updates": 0,
        "acknowledged": False,
        "label": "",
        "note": "",
        "payload": {},
    }


def _unix_s(time_text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(time_text)).timestamp()
    except (ValueError, OverflowError):
        return None
