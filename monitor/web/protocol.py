"""HTTP connections with limits that uvicorn does not have."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from monitor.web.streams import ABORT


class Protocol(H11Protocol):
    """A connection must send a whole request within ``REQUEST_S``, or it is ended.

    The scope of each request has a function that ends the connection without sending what waits.
    """

    REQUEST_S: ClassVar[float] = 15.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self.app = _with_abort(self.app, self)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._deadline = self.loop.call_later(self.REQUEST_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self.request_began()
        super().connection_lost(exc)

    def request_began(self) -> None:
        """A request is answered now; between requests, uvicorn has a time limit of its own."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _with_abort(app: Any, protocol: Protocol) -> ASGIApp:
    async def with_abort(scope: Scope, receive: Receive, send: Send) -> None:
        protocol.request_began()
        try:
            await app({**scope, ABORT: protocol.transport.abort}, receive, send)
        except h11.LocalProtocolError:  # the client has sent bytes that are not HTTP meanwhile
            protocol.cycle.disconnected = True
            protocol.transport.abort()

    return with_abort
