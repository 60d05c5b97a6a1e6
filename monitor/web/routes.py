"""Every route of the application."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from monitor.text.escaping import json_text
from monitor.web.context import context_of
from monitor.web.overview import overview


def json_response(document: Any, status: int = 200) -> Response:
    """A document that no cache keeps."""
    return Response(json_text(document), status, media_type="application/json")


async def overview_document(request: Request) -> dict[str, Any]:
    """All machines."""
    context = context_of(request)
    status = await context.daemon.status()
    return overview(status, context.daemon.trouble, {})


async def api_overview(request: Request) -> Response:
    """``api/overview``."""
    return json_response(await overview_document(request))


async def overview_page(request: Request) -> Response:
    """``/``."""
    document = await overview_document(request)
    return context_of(request).pages.page(request, "overview.html", {"data": document})


async def static(request: Request) -> Response:
    """``static/...``."""
    return context_of(request).static.response(request, request.path_params["name"])


def routes() -> list[Route]:
    """The routes, in the order in which they are compared."""
    return [
        Route("/", overview_page),
        Route("/api/overview", api_overview),
        Route("/static/{name:path}", static),
    ]
