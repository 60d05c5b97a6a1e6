"""The broker of the demo: amqtt in a thread."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import Any, Self

from amqtt.broker import Broker

from monitor.errors import ServiceUnavailableError


class EmbeddedBroker:
    """An MQTT 3.1.1 broker on a free local port inside the ``with`` block.

    Raises ``ServiceUnavailableError`` if it does not start.
    """

    def __init__(self) -> None:
        self.port = _free_port()
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._trouble: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)

    def __enter__(self) -> Self:
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)
        logging.getLogger("transitions").setLevel(logging.CRITICAL)
        self._thread.start()
        if not self._started.wait(10) or self._trouble is not None:
            raise ServiceUnavailableError(f"the demo's broker did not start: {self._trouble}")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001  # passed to the waiting thread
            self._trouble = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        settings: dict[str, Any] = {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.port}"}},
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
            },
        }
        broker = Broker(settings)
        await broker.start()
        self._started.set()
        await self._stop.wait()
        await broker.shutdown()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
