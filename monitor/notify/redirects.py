"""Refuses redirects that lose a message.

``requests`` follows a redirect of a POST with a GET, as browsers do (RFC 9110, 15.4.2 to 15.4.4).
The message is not part of it, but apprise takes the page that comes then for success.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import requests
from requests.sessions import SessionRedirectMixin

_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})
_ACCEPTED = re.compile(r"[?&]redirect=(?:y|t|1|on|en)", re.IGNORECASE)
"""In an address: for a form that answers with a redirect when it has the message."""


@contextmanager
def lossless_redirects(url: str) -> Iterator[list[str]]:
    """Let requests to the target with this address fail instead of losing their content.

    Gives a line for people for each redirect that was refused. Not for several threads.
    """
    refused: list[str] = []
    original = SessionRedirectMixin.rebuild_method

    def rebuild(
        self: SessionRedirectMixin,
        prepared_request: requests.PreparedRequest,
        response: requests.Response,
    ) -> None:
        before = prepared_request.method
        original(self, prepared_request, response)
        if before in _WITH_CONTENT and prepared_request.method != before:
            refused.append(_line(prepared_request.url or "", response.status_code))
            raise requests.TooManyRedirects(refused[-1], response=response)

    if _ACCEPTED.search(url):
        yield refused
        return
    SessionRedirectMixin.rebuild_method = rebuild  # type: ignore[method-assign] # every plugin has its own session
    try:
        yield refused
    finally:
        SessionRedirectMixin.rebuild_method = original  # type: ignore[method-assign] # as above


def _line(url: str, status: int) -> str:
    to = urlsplit(url)
    where = f"{to.scheme}://{to.hostname}" + (f":{to.port}" if to.port else "")
    return (
        f"redirected to {where} (status {status}), which loses the message: correct the address, "
        "or add redirect=yes to it if the message arrives all the same"
    )
