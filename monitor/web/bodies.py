"""Bodies of requests, up to a limit."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request

from monitor.errors import UsageError
from monitor.text.json_objects import json_object

MOST_BYTES = 16 * 1024
MOST_FIELDS = 10
TIMEOUT_S = 10.0


async def read_body(request: Request) -> bytes:
    """The body. Raises ``UsageError`` if it is too long, too slow or not complete."""
    body = bytearray()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            async for part in request.stream():
                body += part
                if len(body) > MOST_BYTES:
                    raise UsageError(f"the body of a request has at most {MOST_BYTES} bytes")
    except TimeoutError:
        raise UsageError(f"the body did not arrive within {TIMEOUT_S:g} s") from None
    except ClientDisconnect:
        raise UsageError("the connection was closed before the body was complete") from None
    return bytes(body)


async def read_form(request: Request) -> dict[str, str]:
    """The fields of the form in the body, the first one of each name. Raises ``UsageError``."""
    body = (await read_body(request)).decode(errors="replace")
    try:
        fields = parse_qs(body, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise UsageError(f"a form has at most {MOST_FIELDS} fields") from None
    return {name: values[0] for name, values in fields.items()}


async def read_json(request: Request) -> dict[str, Any]:
    """The JSON object in the body; empty without a body. Raises ``UsageError``."""
    body = await read_body(request)
    if not body:
        return {}
    try:
        return json_object(body)
    except ValueError:
        raise UsageError("the body of the request is not a JSON object") from None
