"""Server-sent events to many browsers: limits on clients and queues, heartbeats, an end at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from monitor.text.escaping import json_text

ABORT = "auscult.abort"
"""Key of the scope: a function that ends the connection without sending what waits."""


def event(name: str, document: Any) -> bytes:
    """An event with a JSON document, which is one line."""
    return f"event: {name}\ndata: {json_text(document)}\n\n".encode()


class Client:
    """One browser that receives events. ``put`` never waits: a slow reader is dropped."""

    MOST_WAITING: ClassVar[int] = 30
    MOST_WAITING_BYTES: ClassVar[int] = 2 * 1024 * 1024

    def __init__(self) -> None:
        self.abort: Callable[[], None] = lambda: None
        self.is_over = False
        self._waiting: deque[bytes] = deque()
        self._n_bytes = 0
        self._changed = asyncio.Event()

    def put(self, message: bytes) -> None:
        """Send a message soon, or drop a client that does not read."""
        if self.is_over:
            return
        is_full = self._n_bytes + len(message) > self.MOST_WAITING_BYTES and self._waiting
        if is_full or len(self._waiting) >= self.MOST_WAITING:
            self.end()
            self.abort()
            return
        self._waiting.append(message)
        self._n_bytes += len(message)
        self._changed.set()

    def end(self) -> None:
        """Send nothing more."""
        self.is_over = True
        self._changed.set()

    async def next(self, timeout_s: float) -> bytes | None:
        """The next message; None after ``timeout_s`` or at the end."""
        if not self._waiting and not self.is_over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
        self._changed.clear()
        if self.is_over or not self._waiting:
            return None
        message = self._waiting.popleft()
        self._n_bytes -= len(message)
        if self._waiting:
            self._changed.set()
        return message


class EventStream(Response):
    """An answer that lasts until the browser or the server ends it.

    ``may_continue``: asked every ``HEARTBEAT_S``; a session may have ended.
    """

    media_type = "text/event-stream"
    HEARTBEAT_S: ClassVar[float] = 10.0

    def __init__(
        self,
        client: Client,
        may_continue: Callable[[], bool],
        closed: Callable[[], None],
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._client = client
        self._may_continue = may_continue
        self._closed = closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = self._client
        client.abort = scope.get(ABORT, client.abort)
        listening = asyncio.create_task(_until_disconnected(receive, client))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                await self._send_events(send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            listening.cancel()
            client.end()
            self._closed()

    async def _send_events(self, send: Send) -> None:
        client, loop = self._client, asyncio.get_running_loop()
        message: bytes | None = b"retry: 3000\n\n"
        asked_s = loop.time()
        while not client.is_over:
            if message is None or loop.time() - asked_s >= self.HEARTBEAT_S:
                if not self._may_continue():
                    return
                asked_s = loop.time()
            if message is None:
                message = event("heartbeat", {})
            await send({"type": "http.response.body", "body": message, "more_body": True})
            message = await client.next(self.HEARTBEAT_S)


async def _until_disconnected(receive: Receive, client: Client) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    client.end()
