"""Serves the application until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from monitor.config.web import ANY_HOST, WebSettings
from monitor.errors import ConfigError, ServiceUnavailableError
from monitor.process.systemd import Notifier
from monitor.web.connections import WAITING, Gate, Listener, most_connections
from monitor.web.protocol import protocol_with

log = logging.getLogger(__name__)

_STOP_S = 1
_IDLE_S = 20
_UNREAD_MS = 20_000
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Server(uvicorn.Server):
    """Without uvicorn's handlers, which raise each signal again after the orderly stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(
    app: ASGIApp,
    settings: WebSettings,
    *,
    manager: Notifier,
    ready: Callable[[str], None],
    stopping: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT.

    ``manager`` is notified that the page is served, and lives. ``ready`` is called with the
    address of the page. ``stopping`` is called in the event loop as soon as a signal arrives, and
    must end all endless responses. Raises ``ServiceUnavailableError`` if the address cannot be
    used, and ``ConfigError`` for a certificate that cannot be used.
    """
    listener = listening(settings)
    address = page_address(settings, *listener.getsockname()[:2])
    config = server_config(app, settings, listener.gate)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        listener.close()
        raise ConfigError(
            f"web.tls_cert and web.tls_key: {settings.tls_cert} and {settings.tls_key} are not a "
            f"certificate and its key in PEM: {error}"
        ) from error

    def served() -> None:
        manager.ready(f"the page is at {address}")
        ready(address)

    asyncio.run(_serve(_Server(config), listener, manager, stopping, served))


def page_address(settings: WebSettings, host: str, port: int) -> str:
    """An address of the page that a browser can open. ``host``, ``port``: where it listens.

    All addresses of the computer (0.0.0.0) are none: then ``url``, or the first of ``hosts``.
    """
    if ipaddress.ip_address(host).is_unspecified:
        if settings.url:
            return f"{settings.url}/"
        host = next((name for name in settings.hosts if name != ANY_HOST), "localhost")
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{'https' if settings.tls_cert else 'http'}://{host}:{port}{settings.path}/"


def server_config(app: ASGIApp, settings: WebSettings, gate: Gate) -> uvicorn.Config:
    """How the application is served."""
    return uvicorn.Config(
        app,
        http=protocol_with(gate),
        log_config=None,
        access_log=False,
        proxy_headers=False,  # only those of trusted proxies are believed
        server_header=False,
        ws="none",
        backlog=WAITING,
        timeout_graceful_shutdown=_STOP_S,
        timeout_keep_alive=_IDLE_S,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )


async def _serve(
    server: _Server,
    listener: socket.socket,
    manager: Notifier,
    stopping: Callable[[], None],
    ready: Callable[[], None],
) -> None:
    def stop() -> None:
        manager.stopping()
        server.should_exit = True
        stopping()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    ready()
    living = asyncio.create_task(_live(manager))
    await server.serve(sockets=[listener])
    living.cancel()


async def _live(manager: Notifier) -> None:
    """Show the watchdog that the event loop runs."""
    while (interval_s := manager.watchdog_interval_s) is not None:
        manager.watchdog()
        await asyncio.sleep(interval_s)


def listening(settings: WebSettings) -> Listener:
    """The socket on which the page is served. Raises ``ServiceUnavailableError``."""
    host, port = settings.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named explicitly: otherwise asyncio does not switch off Nagle's algorithm, and each answer
    # takes 40 ms.
    listener = Listener(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.gate = Gate(most_connections(), settings.trusted_proxies)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A browser that has gone without a word, or does not read, is found out by the kernel.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MS)
        listener.bind((host, port))
        listener.listen(WAITING)
    except OSError as error:
        listener.close()
        raise ServiceUnavailableError(
            f'web.listen = "{settings.listen}": {error.strerror}: choose another address or port'
        ) from error
    return listener
