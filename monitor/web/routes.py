"""Every route of the application."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from monitor.web import alerts, changes, evidence_files, health, live, login, machines, metrics
from monitor.web.access import BasicRoute, PublicRoute
from monitor.web.context import context_of


async def static(request: Request) -> Response:
    """``static/...``."""
    return context_of(request).static.response(request, request.path_params["name"])


def routes() -> list[Route]:
    """The routes. Only a ``PublicRoute`` is open to everybody."""
    return [
        PublicRoute("/login", login.login_page),
        PublicRoute("/login", login.log_in, methods=["POST"]),
        PublicRoute("/static/{name:path}", static),
        Route("/logout", login.log_out, methods=["POST"]),
        Route("/api/session", login.session),
        Route("/", machines.overview_page),
        Route("/api/overview", machines.api_overview),
        Route("/machine/{machine}", machines.machine_page),
        Route("/api/machine/{machine}", machines.api_machine),
        Route("/api/machine/{machine}/history", machines.api_history),
        Route("/api/machine/{machine}/events", machines.api_events),
        Route("/api/machine/{machine}/relearning", machines.api_relearning),
        Route("/alerts", alerts.alerts_page),
        Route("/api/alerts", alerts.api_alerts),
        Route("/alert/{alert_id}", alerts.alert_page),
        Route("/api/alert/{alert_id}", alerts.api_alert),
        Route("/health", health.health_page),
        Route("/api/health", health.api_health),
        Route("/api/live/overview", live.live_overview),
        Route("/api/live/machine/{machine}", live.live_machine),
        BasicRoute("/metrics", metrics.metrics),
        *_evidence(),
        *_changes(),
    ]


def _evidence() -> list[Route]:
    band = evidence_files.BAND
    return [
        Route(f"/evidence/{{evidence_id}}/{band}", evidence_files.of_alerts(band)),
        *_files(),
    ]


def _files() -> list[Route]:
    return [
        route
        for file in evidence_files.FILES
        for route in (
            Route(f"/evidence/{{evidence_id}}/{file}", evidence_files.of_alerts(file)),
            Route(f"/healthy/{{machine}}/{{operation}}/{file}", evidence_files.of_healthy(file)),
        )
    ]


def _changes() -> list[Route]:
    of_machines = [
        Route(
            f"/api/machine/{{machine}}/{command}",
            changes.change(command, known, "machine"),
            methods=["POST"],
        )
        for command, known in changes.OF_MACHINES.items()
    ]
    of_alerts = [
        Route(
            f"/api/alert/{{alert_id}}/{command}",
            changes.change(command, known, "alert_id"),
            methods=["POST"],
        )
        for command, known in changes.OF_ALERTS.items()
    ]
    return [*of_machines, *of_alerts]
