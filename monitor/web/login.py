"""Log in and log out."""

from __future__ import annotations

import http.cookies
import math
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from monitor.web.answers import json_answer
from monitor.web.bodies import read_form
from monitor.web.callers import Caller
from monitor.web.context import context_of
from monitor.web.password_check import TooManyError
from monitor.web.scope import caller_of, prefix_of, viewer_of


async def login_page(request: Request) -> Response:
    """``GET login``: the form; ``next`` is where it leads, ``ended`` says why it is shown."""
    wanted = request.query_params.get("next", "")
    if viewer_of(request) is not None:
        return RedirectResponse(_address(request, wanted), 303)
    return _form(request, wanted, "ended" if "ended" in request.query_params else "")


async def log_in(request: Request) -> Response:
    """``POST login``: ``user``, ``password`` and ``next`` of the form."""
    fields = await read_form(request)
    name, password, wanted = (fields.get(key, "") for key in ("user", "password", "next"))
    password_check, caller = context_of(request).password_check, caller_of(request)
    try:
        user = await password_check.check(caller.address, name, password)
    except TooManyError as error:
        wait_s = math.ceil(error.wait_s)
        answer = _form(request, wanted, "too_many", 429, wait_s)
        answer.headers["Retry-After"] = str(wait_s)
        return answer
    if user is None:
        return _form(request, wanted, "wrong", 401)
    sessions = password_check.sessions
    answer = RedirectResponse(_address(request, wanted), 303)
    cookie = _cookie(sessions.cookie, caller, sessions.begin(user), sessions.lasts_s)
    answer.headers["Set-Cookie"] = cookie
    return answer


async def log_out(request: Request) -> Response:
    """``POST logout``: end the session."""
    sessions = context_of(request).password_check.sessions
    sessions.end(request.cookies.get(sessions.cookie, ""))
    cookie = _cookie(sessions.cookie, caller_of(request), "", 0.0)
    return json_answer({}, headers={"Set-Cookie": cookie})


async def session(request: Request) -> Response:
    """``GET api/session``: who is logged in. Without a session, ``access`` answers."""
    viewer = viewer_of(request)
    if viewer is None:
        return json_answer({}, 401)
    return json_answer({"user": viewer.name, "role": viewer.role})


def _form(
    request: Request, wanted: str, trouble: str = "", status: int = 200, wait_s: int = 0
) -> Response:
    values = {"next": wanted, "trouble": trouble, "wait_s": wait_s}
    return context_of(request).pages.page(request, "login.html", values, status=status)


def _address(request: Request, wanted: str) -> str:
    """An address of this page, whatever ``wanted`` is: no other site, and no other scheme."""
    path = wanted.lstrip("/\\\t\r\n ")
    return f"{prefix_of(request)}/{quote(path, safe='/?&=#%:~.-_')}"


def _cookie(name: str, caller: Caller, token: str, lasts_s: float) -> str:
    """The value of ``Set-Cookie``. ``lasts_s``: 0 to delete the cookie."""
    cookie = http.cookies.SimpleCookie()
    cookie[name] = token
    morsel = cookie[name]
    morsel["path"] = caller.prefix or "/"
    morsel["max-age"] = str(int(lasts_s))
    morsel["httponly"] = True
    morsel["samesite"] = "Strict"
    if caller.scheme == "https":
        morsel["secure"] = True
    return morsel.OutputString()
