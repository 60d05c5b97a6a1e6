"""What ``access`` adds to the scope of each request, for the routes."""

from __future__ import annotations

from starlette.requests import Request

from monitor.web.callers import Caller
from monitor.web.sessions import Viewer

CALLER = "auscult.caller"
PREFIX = "auscult.prefix"
VIEWER = "auscult.viewer"


def caller_of(request: Request) -> Caller:
    """From where the request comes."""
    caller: Caller = request.scope[CALLER]
    return caller


def prefix_of(request: Request) -> str:
    """The path below which the browser reaches the page, or empty."""
    prefix: str = request.scope[PREFIX]
    return prefix


def viewer_of(request: Request) -> Viewer | None:
    """Who asks; None on a public route without a session."""
    viewer: Viewer | None = request.scope[VIEWER]
    return viewer
