"""Which browsers receive which live data."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import ClassVar, Protocol

from starlette.responses import Response

from monitor.errors import AuscultError
from monitor.web.answers import refusal
from monitor.web.streams import Client, EventStream

log = logging.getLogger(__name__)

Events = AsyncIterator[bytes]


class Source(Protocol):
    """Where the events of a channel come from."""

    def first(self) -> list[bytes]:
        """What a client that joins later needs to understand the next events."""

    def events(self) -> Events:
        """The events, for ever."""


class Channel:
    """The events of one source to all its clients. The source runs while there is a client."""

    PAUSE_S: ClassVar[float] = 1.0

    def __init__(self, source: Source) -> None:
        self._source = source
        self._clients: set[Client] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def n_clients(self) -> int:
        """How many browsers receive the events."""
        return len(self._clients)

    def join(self, client: Client) -> None:
        """Send the events to this client too."""
        for message in self._source.first():
            client.put(message)
        self._clients.add(client)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def leave(self, client: Client) -> None:
        """A client has gone; with the last one, the source ends."""
        self._clients.discard(client)
        if not self._clients and self._task is not None:
            self._task.cancel()
            self._task = None

    def stop(self) -> None:
        """End every client."""
        for client in list(self._clients):
            client.end()

    async def _run(self) -> None:
        while True:
            try:
                async for message in self._source.events():
                    for client in list(self._clients):
                        client.put(message)
            except AuscultError as error:
                log.debug("no live data: %s", error)
            except Exception:  # a bug here must not leave the clients without an end
                log.exception("internal error in live data")
                self.stop()
            await asyncio.sleep(self.PAUSE_S)


class Channels:
    """All channels. Used in the event loop."""

    MOST_CLIENTS: ClassVar[int] = 60
    MOST_PER_ADDRESS: ClassVar[int] = 20

    def __init__(self) -> None:
        self._channels: dict[str, Channel] = {}
        self._addresses: Counter[str] = Counter()
        self._is_stopping = False

    @property
    def n_clients(self) -> int:
        """How many browsers receive live data."""
        return sum(channel.n_clients for channel in self._channels.values())

    def stop(self) -> None:
        """End every stream at once, and refuse new ones."""
        self._is_stopping = True
        for channel in self._channels.values():
            channel.stop()

    def stream(
        self,
        name: str,
        address: str,
        make: Callable[[], Source],
        may_continue: Callable[[], bool],
    ) -> Response:
        """The answer to a browser at ``address``: the events of the channel with this name.

        ``make``: the source of a new channel. ``may_continue``: whether the viewer is still logged
        in.
        """
        is_full = (
            self.n_clients >= self.MOST_CLIENTS or self._addresses[address] >= self.MOST_PER_ADDRESS
        )
        if self._is_stopping or is_full:
            return refusal(503, "too many pages with live data are open", {"Retry-After": "5"})
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = Channel(make())
        client = Client()
        channel.join(client)
        self._addresses[address] += 1

        def closed() -> None:
            channel.leave(client)
            self._addresses -= Counter([address])
            if not channel.n_clients and self._channels.get(name) is channel:
                del self._channels[name]

        return EventStream(client, may_continue, closed)
