"""The application: routes, what every request passes before them, and what errors become."""

from __future__ import annotations

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from monitor.errors import (
    AuscultError,
    BadInputError,
    ConfigError,
    MissingInputError,
    ServiceUnavailableError,
    UsageError,
)
from monitor.web.access import Access
from monitor.web.answers import refusal
from monitor.web.callers import Callers
from monitor.web.context import Context, context_of
from monitor.web.pages import IN_A_LANGUAGE
from monitor.web.routes import routes
from monitor.web.texts import Sentence
from monitor.web.work import BusyError

log = logging.getLogger(__name__)

_STATUS: dict[type[AuscultError], int] = {
    UsageError: 400,
    MissingInputError: 404,
    ConfigError: 409,
    BadInputError: 503,
    ServiceUnavailableError: 503,
}
_WITH_TITLE = frozenset({400, 404, 405})


def make_app(context: Context) -> ASGIApp:
    """The application with these parts."""
    app = Starlette(
        routes=routes(),
        exception_handlers={
            AuscultError: _refused,
            BusyError: _busy,
            HTTPException: _http,
            Exception: _bug,
        },
    )
    app.router.redirect_slashes = False  # it would lead to an address without the prefix
    app.state.context = context
    users = context.password_check.users
    callers = Callers(context.settings, lambda: users.are_required)
    return Access(app, app.routes, callers, context.password_check, context.pages.languages)


async def _refused(request: Request, error: Exception) -> Response:
    kinds = (_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    lines = (_text(request, line if isinstance(line, str) else str(line)) for line in error.args)
    return _answer(request, next(kinds, 503), "\n".join(lines))


async def _busy(request: Request, _error: Exception) -> Response:
    return _answer(request, 503, _text(request, Sentence("refusal.busy")))


async def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    title = status if status in _WITH_TITLE else "other"
    return _answer(request, status, _text(request, Sentence(f"error.title_{title}")))


async def _bug(request: Request, error: Exception) -> Response:
    """A bug. Starlette raises it again, so that the log has its traceback."""
    sentence = Sentence("error.internal", name=type(error).__name__)
    return _answer(request, 500, _text(request, sentence))


def _text(request: Request, sentence: str) -> str:
    return context_of(request).pages.texts(request).of(sentence)


def _answer(request: Request, status: int, message: str) -> Response:
    """A page for a browser that opens an address, JSON for everything else."""
    accepts_page = "text/html" in request.headers.get("accept", "")
    if not accepts_page or request.scope["path"].startswith("/api/"):
        return refusal(status, message, IN_A_LANGUAGE)
    values = {"status": status, "message": message}
    return context_of(request).pages.page(request, "error.html", values, status=status)
