"""Bodies of requests, up to a limit."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import Request

from monitor.errors import UsageError

MOST_BYTES = 16 * 1024
TIMEOUT_S = 10.0


async def read_body(request: Request) -> bytes:
    """The body. Raises ``UsageError`` if it is too long or too slow."""
    body = bytearray()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            async for part in request.stream():
                body += part
                if len(body) > MOST_BYTES:
                    raise UsageError(f"the body of a request has at most {MOST_BYTES} bytes")
    except TimeoutError:
        raise UsageError(f"the body did not arrive within {TIMEOUT_S:g} s") from None
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
