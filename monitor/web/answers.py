"""Answers that several routes give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from monitor.text.escaping import json_text


def json_answer(
    document: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON document. Raises ``ValueError`` for NaN and infinite numbers."""
    return Response(json_text(document), status, headers, media_type="application/json")


def accepts_gzip(request: Request) -> bool:
    """Whether the browser takes a compressed answer. Only for content that has no secret: the
    length of a compressed answer reveals something about it."""
    stated = request.headers.get("accept-encoding", "").lower().replace(" ", "").split(",")
    return "gzip" in stated


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Why a request is not carried out, as JSON: ``{"error": {"status", "message"}}``."""
    return json_answer({"error": {"status": status, "message": message}}, status, headers)
