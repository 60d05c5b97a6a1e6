"""Bodies of requests, up to a limit."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from monitor.errors import UsageError

MOST_BYTES = 16 * 1024


async def read_body(request: Request) -> bytes:
    """The body. Raises ``UsageError`` if it is too long."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise UsageError(f"the body of a request has at most {MOST_BYTES} bytes")
    return bytes(body)


async def read_json(request: Request) -> dict[str, Any]:
    """The JSON object in the body; empty without a body. Raises ``UsageError``."""
    body = await read_body(request)
    if not body:
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise UsageError("the body of the request is not JSON") from None
    if not isinstance(document, dict):
        raise UsageError("the body of the request is not a JSON object")
    return document
