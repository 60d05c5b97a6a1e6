"""Answers that several routes give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from monitor.clock import SYSTEM_CLOCK, rfc3339
from monitor.text.escaping import json_text


def json_answer(
    document: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON document, with the time: the clock of a viewer may be wrong.

    Raises ``ValueError`` for NaN and infinite numbers.
    """
    headers = {"X-Auscult-Now": rfc3339(SYSTEM_CLOCK.unix_s()), **(headers or {})}
    return Response(json_text(document), status, headers, media_type="application/json")


def accepts_gzip(request: Request) -> bool:
    """Whether the browser takes a compressed answer. Only for content that has no secret: the
    length of a compressed answer reveals something about it."""
    stated = request.headers.get("accept-encoding", "").lower().replace(" ", "").split(",")
    return "gzip" in stated


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Why a request is not carried out, as JSON: ``{"error": {"status", "message"}}``."""
    return json_answer({"error": {"status": status, "message": message}}, status, headers)
