"""What operators change: each change is a command to the daemon."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from monitor.errors import UsageError
from monitor.web.answers import json_answer
from monitor.web.bodies import read_json
from monitor.web.context import context_of
from monitor.web.scope import viewer_of

log = logging.getLogger(__name__)

OF_MACHINES: Mapping[str, tuple[str, ...]] = {
    "mute": ("for_s", "note"),
    "unmute": (),
    "learn": (),
    "arm": (),
    "rollback": (),
    "relearn": ("collect_s",),
    "relearn_accept": (),
    "relearn_discard": (),
}
"""Command to what the body of its request may have."""
OF_ALERTS: Mapping[str, tuple[str, ...]] = {"acknowledge": ("note",), "label": ("label", "note")}


def change(
    command: str, known: tuple[str, ...], subject: str
) -> Callable[[Request], Awaitable[Response]]:
    """The route of a command. ``subject``: the parameter of the path that it is about."""

    async def handle(request: Request) -> Response:
        context, body = context_of(request), await read_json(request)
        if unknown := sorted(set(body) - set(known)):
            raise UsageError(f"{command}: {unknown[0]} is not known; known: {', '.join(known)}")
        viewer = viewer_of(request)
        arguments: dict[str, Any] = {subject: request.path_params[subject], **body}
        result = await context.daemon.ask(
            command, arguments, on_behalf_of=viewer.name if viewer else ""
        )
        context.daemon.forget()
        return json_answer(result)

    return handle
