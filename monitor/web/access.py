"""What every request passes before its route: where it comes from, who asks, what is allowed.

Everything is refused by default. A route that is open to everybody is a ``PublicRoute``; all other
addresses, also those that do not exist, need a session. Whatever is not ``GET`` or ``HEAD`` is a
change: it needs an operator, the header ``X-Auscult`` and the origin of this page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.web.answers import refusal
from monitor.web.callers import Caller, Callers, RefusedError, has_origin
from monitor.web.pages import IN_A_LANGUAGE
from monitor.web.password_check import PasswordCheck, TooManyError
from monitor.web.scope import CALLER, PREFIX, VIEWER
from monitor.web.sessions import Viewer
from monitor.web.texts import Languages, Sentence, Texts
from monitor.web.users import Role

_SAFE_METHODS = frozenset({"GET", "HEAD"})
_METHODS = _SAFE_METHODS | {"POST"}
_LOCAL = Viewer("", Role.OPERATOR)
_CONTENT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors "
)


class PublicRoute(Route):
    """A route for which no session is needed."""


class BasicRoute(Route):
    """A route for programs: they may send user and password with each request (HTTP Basic)."""


class Access:
    """ASGI middleware around the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        routes: Sequence[BaseRoute],
        callers: Callers,
        password_check: PasswordCheck,
        languages: Languages,
    ) -> None:
        self._app = app
        self._routes = routes
        self._callers = callers
        self._password_check = password_check
        self._languages = languages
        self._users = password_check.users
        self._sessions = password_check.sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets
            return
        caller: Caller | None = None
        answer: Response | None
        try:
            caller = self._callers.caller(scope)
            answer = await self._answer_before_route(scope, caller)
        except RefusedError as error:
            challenge = {"WWW-Authenticate": 'Basic realm="auscult"'} if error.asks else {}
            message = self._texts(scope).of(error.message)
            answer = refusal(error.status, message, IN_A_LANGUAGE | challenge)
        with_headers = _sender(send, in_frame=caller is not None and caller.in_frame)
        await (answer or self._app)(scope, receive, with_headers)

    async def _answer_before_route(self, scope: Scope, caller: Caller) -> Response | None:
        """The way to the login; None if the route may answer. Raises ``RefusedError``."""
        self._users.refresh()
        path = _without_prefix(scope["path"], caller.prefix)
        viewer = self._viewer(scope)
        scope.update({CALLER: caller, PREFIX: caller.prefix, VIEWER: viewer})
        scope.update({"path": path, "root_path": ""})
        if scope["method"] not in _METHODS:
            raise RefusedError(405, "only GET, HEAD and POST are used")
        is_change = scope["method"] not in _SAFE_METHODS
        if is_change and not has_origin(scope, caller, self._callers.own_origin):
            raise RefusedError(
                403,
                f"the header Origin is not {caller.origin}: changes come from this page only. "
                "Behind a proxy, it must send X-Forwarded-Host and X-Forwarded-Proto",
            )
        if self._is(PublicRoute, scope):
            return None
        if viewer is None and self._is(BasicRoute, scope):
            viewer = scope[VIEWER] = await self._basic(scope, caller)
        if viewer is None:
            return self._log_in(scope, caller, path)
        if is_change:
            _check_change(scope, viewer)
        return None

    def _texts(self, scope: Scope) -> Texts:
        return self._languages.accepted(Headers(scope=scope).get("accept-language", ""))

    def _viewer(self, scope: Scope) -> Viewer | None:
        if not self._users.are_required:
            return _LOCAL
        return self._sessions.viewer(Request(scope).cookies.get(self._sessions.cookie, ""))

    def _is(self, kind: type[Route], scope: Scope) -> bool:
        """Whether every route of this address is of a kind, for any method."""
        found = [one for one in self._routes if one.matches(scope)[0] is not Match.NONE]
        return bool(found) and all(isinstance(one, kind) for one in found)

    async def _basic(self, scope: Scope, caller: Caller) -> Viewer:
        """Who asks, by HTTP Basic. Raises ``RefusedError``."""
        header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        try:
            user = await self._password_check.basic(caller.address, header)
        except TooManyError as error:
            raise RefusedError(
                429, Sentence("login.too_many", seconds=math.ceil(error.wait_s))
            ) from None
        if user is None:
            message = "Log in first, or send user and password (HTTP Basic)"
            raise RefusedError(401, message, asks=True)
        return Viewer(user.name, user.role)

    def _log_in(self, scope: Scope, caller: Caller, path: str) -> Response:
        """Lead a browser to the login; other programs get a status."""
        headers = dict(scope["headers"])
        is_page = b"text/html" in headers.get(b"accept", b"") and not path.startswith("/api/")
        if not is_page or scope["method"] not in _SAFE_METHODS:
            raise RefusedError(401, Sentence("refusal.log_in"))
        has_session = self._sessions.cookie.encode() in headers.get(b"cookie", b"")
        if headers.get(b"sec-fetch-site") == b"cross-site" and not has_session:
            # A link on another page: the browser leaves out a strict cookie, and sends it when this
            # page loads itself again.
            return Response(
                '<!doctype html><meta http-equiv="refresh" content="0"><title>Auscult</title>',
                media_type="text/html",
            )
        query = scope["query_string"].decode("latin-1")
        wanted = path.lstrip("/") + (f"?{query}" if query else "")
        return RedirectResponse(f"{caller.prefix}/login?next={quote(wanted, safe='')}", 303)


def _check_change(scope: Scope, viewer: Viewer) -> None:
    if not any(name == b"x-auscult" for name, _ in scope["headers"]):
        raise RefusedError(403, "a change needs the header X-Auscult")
    if viewer.role is not Role.OPERATOR and scope["path"] != "/logout":
        raise RefusedError(403, Sentence("refusal.only_operators"))


def _without_prefix(path: str, prefix: str) -> str:
    """Some proxies remove the prefix from the path, others do not."""
    if prefix and (path == prefix or path.startswith(prefix + "/")):
        return path.removeprefix(prefix) or "/"
    return path


def _sender(send: Send, *, in_frame: bool) -> Send:
    """Adds the headers that limit what a browser does with an answer."""
    ancestors = "'self'" if in_frame else "'none'"

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = _CONTENT + ancestors
            headers["X-Frame-Options"] = "SAMEORIGIN" if in_frame else "DENY"
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "same-origin"
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            headers["Cross-Origin-Opener-Policy"] = "same-origin"
            headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return send_with_headers
