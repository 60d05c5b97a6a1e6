"""HTTP connections with limits that uvicorn does not have."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from monitor.web.connections import Gate
from monitor.web.streams import ABORT


class Protocol(H11Protocol):
    """A connection must send a whole request within ``REQUEST_S``, or it is ended.

    The scope of each request has a function that ends the connection without sending what waits.
    ``gate``: is called when a request begins and ends.
    """

    REQUEST_S: ClassVar[float] = 15.0
    gate: ClassVar[Gate | None] = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._peer: Any = None
        self._deadline: asyncio.TimerHandle | None = None
        self.app = _with_abort(self.app, self)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._peer = transport.get_extra_info("peername")
        self._deadline = self.loop.call_later(self.REQUEST_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if self._deadline is None and not is_answering and not self.transport.is_closing():
            # A later request that does not end, or the rest of a body that nobody reads: uvicorn
            # has ended its own time limit with the first byte.
            self._deadline = self.loop.call_later(self.REQUEST_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_deadline()
        super().connection_lost(exc)

    def request_began(self) -> None:
        """A request is answered now; between requests, uvicorn has a time limit of its own."""
        self._end_deadline()
        if self.gate is not None:
            self.gate.began(self._peer)

    def request_ended(self) -> None:
        """The request is answered."""
        if self.gate is not None:
            self.gate.ended(self._peer)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def protocol_with(gate: Gate) -> type[Protocol]:
    """The protocol of the connections of a gate."""
    return type("GatedProtocol", (Protocol,), {"gate": gate})


def _with_abort(app: Any, protocol: Protocol) -> ASGIApp:
    async def with_abort(scope: Scope, receive: Receive, send: Send) -> None:
        protocol.request_began()
        try:
            await app({**scope, ABORT: protocol.transport.abort}, receive, send)
        except h11.LocalProtocolError:  # the client has sent bytes that are not HTTP meanwhile
            protocol.cycle.disconnected = True
            protocol.transport.abort()
        finally:
            protocol.request_ended()

    return with_abort
