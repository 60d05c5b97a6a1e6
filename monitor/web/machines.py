"""The documents and pages of machines."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from monitor.clock import SYSTEM_CLOCK, rfc3339
from monitor.errors import AuscultError, MissingInputError, ServiceUnavailableError
from monitor.text.escaping import one_line
from monitor.web.answers import json_answer
from monitor.web.context import Context, context_of
from monitor.web.overview import machine_summary, overview
from monitor.web.past import alert_document, event_document, minute_document
from monitor.web.query import unix_time, whole_number
from monitor.web.texts import Sentence, as_sentence, known_sentence, sentence_document

_DAY_S = 86_400.0
_WITHOUT_SOUND = frozenset({"unavailable", "no_signal", "degraded"})
_MOST_NAMED = 3
_MOST_POINTS = 4000
_MOST_EVENTS = 1000
_MOST_ALERTS = 500


async def overview_document(context: Context, *, sparklines: bool = True) -> dict[str, Any]:
    """All machines: those of the daemon, those that only the history has, those of other nodes."""
    status = await context.daemon.status()
    found = {one["id"]: machine_summary(one) for one in status["machines"]} if status else {}
    trouble = context.daemon.trouble
    if status is None:
        for name in await context.past.machines():
            found[name] = unknown_machine(name, trouble)
    if sparklines:
        drawn = await context.past.sparklines(list(found))
        for name, machine in found.items():
            machine["sparkline"] = drawn.get(name)
    machines = [*found.values(), *context.others.machines()]
    return overview(
        status["daemon"] if status else None,
        [*banners(context, status), *context.others.banners(), *silent(list(found.values()))],
        machines,
        monitoring=context.daemon.monitoring,
    )


async def machine_document(context: Context, name: str) -> dict[str, Any]:
    """One machine. Raises as ``check_known``."""
    status = await context.daemon.status()
    trouble = context.daemon.trouble
    machine: dict[str, Any] | None = None
    for one in status["machines"] if status else ():
        if one["id"] == name:
            machine = machine_summary(one)
    if machine is None and name in await context.past.machines():
        machine = unknown_machine(name, trouble)
    if machine is None:
        raise _unknown(context, name)
    machine["sparkline"] = (await context.past.sparklines([name])).get(name)
    return _document(context, status, machine)


async def lost_machine_document(context: Context, name: str) -> dict[str, Any]:
    """The same for a machine that was known before, and about which nothing answers now."""
    status = await context.daemon.status()
    return _document(context, status, unknown_machine(name, context.daemon.trouble))


def _document(
    context: Context, status: Mapping[str, Any] | None, machine: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "now": rfc3339(SYSTEM_CLOCK.unix_s()),
        "monitoring": context.daemon.monitoring,
        "banners": [*map(sentence_document, banners(context, status))],
        "machine": machine,
    }


async def check_known(context: Context, name: str) -> None:
    """Raise ``MissingInputError`` for an unknown machine.

    Raises ``ServiceUnavailableError`` if nothing answers that could have it.
    """
    status = await context.daemon.status()
    if status is not None and any(one["id"] == name for one in status["machines"]):
        return
    if name not in await context.past.machines():
        raise _unknown(context, name)


def _unknown(context: Context, name: str) -> AuscultError:
    if trouble := context.daemon.trouble or context.past.trouble:
        return ServiceUnavailableError(
            Sentence("refusal.machine_unknown_now", machine=one_line(name), trouble=trouble)
        )
    return MissingInputError(Sentence("refusal.no_machine", machine=one_line(name)))


def banners(context: Context, status: Mapping[str, Any] | None) -> list[str]:
    """What does not work now, except machines: one sentence each."""
    found = [context.daemon.trouble, *_troubles(status["daemon"] if status else {})]
    return [*dict.fromkeys(filter(None, (*found, as_sentence(context.past.trouble))))]


def _troubles(daemon: Mapping[str, Any]) -> list[str]:
    """What does not work in the daemon, in the words of the page if it knows this kind."""
    found = [(one["kind"], one["text"], one["values"]) for one in daemon.get("trouble_kinds") or ()]
    return [known_sentence(f"trouble.{kind}", text, **values) for kind, text, values in found]


def silent(machines: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence about the machines from which no usable sound comes."""
    names = [one["id"] for one in machines if one["state"] in _WITHOUT_SOUND]
    if not names:
        return []
    shown = ", ".join(names[:_MOST_NAMED])
    if len(names) > _MOST_NAMED:
        return [Sentence("banner.more_without_sound", count=len(names), names=shown)]
    return [Sentence("banner.without_sound", count=len(names), names=shown)]


def unknown_machine(name: str, trouble: str) -> dict[str, Any]:
    """A machine about which only the history knows something. ``trouble``: of the daemon."""
    reason = "no_daemon" if trouble else "not_monitored"
    detail = "" if isinstance(trouble, Sentence) else trouble
    state: Mapping[str, Any] = {"state": "unknown", "reason": reason, "detail": detail}
    return machine_summary({"id": name, "state": state})


async def api_overview(request: Request) -> Response:
    """``api/overview``."""
    return json_answer(await overview_document(context_of(request)))


async def overview_page(request: Request) -> Response:
    """``/``."""
    context = context_of(request)
    document = await overview_document(context)
    return context.pages.page(request, "overview.html", {"data": document})


async def api_machine(request: Request) -> Response:
    """``api/machine/<id>``."""
    return json_answer(await machine_document(context_of(request), _machine(request)))


async def machine_page(request: Request) -> Response:
    """``machine/<id>``."""
    context = context_of(request)
    document = await machine_document(context, _machine(request))
    return context.pages.page(request, "machine.html", {"data": document})


async def api_history(request: Request) -> Response:
    """``api/machine/<id>/history?since=&until=&points=``."""
    context, machine = context_of(request), _machine(request)
    await check_known(context, machine)
    until_s = unix_time(request, "until", time.time())
    since_s = unix_time(request, "since", max(0.0, until_s - _DAY_S))
    points = whole_number(request, "points", 1000, most=_MOST_POINTS)
    rows = await context.past.minutes(machine, since_s, until_s, points)
    alerts = await context.past.alerts(
        machine=machine, since_s=since_s, until_s=until_s, limit=_MOST_ALERTS
    )
    return json_answer(
        {
            "machine": machine,
            "since": since_s,
            "until": until_s,
            "minutes": [minute_document(row) for row in rows],
            "alerts": [alert_document(alert) for alert in alerts],
            "trouble": context.past.trouble,
        }
    )


async def api_events(request: Request) -> Response:
    """``api/machine/<id>/events?since=&until=&limit=``."""
    context, machine = context_of(request), _machine(request)
    await check_known(context, machine)
    until_s = unix_time(request, "until", time.time() + _DAY_S)
    since_s = unix_time(request, "since", 0.0)
    limit = whole_number(request, "limit", 100, most=_MOST_EVENTS)
    events = await context.past.events(
        machine=machine, since_s=since_s, until_s=until_s, limit=limit
    )
    return json_answer(
        {
            "machine": machine,
            "events": [event_document(event) for event in events],
            "trouble": context.past.trouble,
        }
    )


async def api_relearning(request: Request) -> Response:
    """``api/machine/<id>/relearning``: a new bundle, and what it would change."""
    context, machine = context_of(request), _machine(request)
    await check_known(context, machine)
    return json_answer(await context.daemon.ask("relearn_show", {"machine": machine}))


def _machine(request: Request) -> str:
    machine: str = request.path_params["machine"]
    return machine
