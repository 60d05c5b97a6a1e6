"""Many, slow and silent connections: other addresses are served meanwhile, and all of them end."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
import uvicorn

from monitor.config.web import Network, WebSettings
from monitor.model.bundle import Bundle
from monitor.web import bodies
from monitor.web.connections import Gate
from monitor.web.protocol import Protocol
from monitor.web.server import listening, server_config
from tests.daemons import daemon
from tests.waiting import wait_for
from tests.web_app import Served, served
from tests.web_server import web_server

FLOOD = 500
DESCRIPTORS = 256


@contextmanager
def as_in_production(app: Served, settings: WebSettings) -> Iterator[tuple[str, int]]:
    """The application behind the socket and the protocol of ``auscult web``."""
    listener = listening(settings)
    server = uvicorn.Server(server_config(app.app, settings, listener.gate))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        yield listener.getsockname()[:2]
    finally:
        server.should_exit = True
        thread.join(10)


def connected(address: tuple[str, int], sent: bytes = b"") -> socket.socket:
    one = socket.create_connection(address, timeout=20)
    one.sendall(sent)
    return one


def is_served(address: tuple[str, int], source: str, timeout_s: float = 10.0) -> bool:
    """Whether an address gets an answer."""
    transport = httpx.HTTPTransport(local_address=source)
    try:
        with httpx.Client(transport=transport, timeout=timeout_s) as client:
            host = f"{address[0]}:{address[1]}"
            return client.get(f"http://{host}/api/session").status_code == 200
    except httpx.TransportError:
        return False


def is_full(gate: Gate, n_requests: int) -> bool:
    """Whether so many requests are being answered, and no connection waits."""
    return [one.is_busy for one in gate._open.values()] == [True] * n_requests


def is_closed(connection: socket.socket, timeout_s: float = 10.0) -> bool:
    """Whether the server ends a connection, after whatever it sends."""
    connection.settimeout(timeout_s)
    with contextlib.suppress(ConnectionError):
        try:
            while connection.recv(4096):
                pass
        except TimeoutError:
            return False
    return True


HEAD = b"GET /api/session HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST = (
    b"POST /api/machine/pump-7/mute HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
    b"Origin: http://127.0.0.1:%d\r\nX-Auscult: 1\r\nContent-Length: 100\r\n\r\n{"
)


def test_one_address_cannot_take_all_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests that are being answered are not closed for others, so each address has few."""
    settings = WebSettings(listen="127.0.0.1:0")
    gates: list[Gate] = []

    def kept(most_open: int, proxies: Sequence[Network]) -> Gate:
        gates.append(Gate(most_open, proxies))
        return gates[-1]

    monkeypatch.setattr("monitor.web.server.most_connections", lambda: 40)
    monkeypatch.setattr("monitor.web.server.Gate", kept)
    for is_removed, most in ((True, 1000), (False, 20)):
        monkeypatch.setattr(Gate, "MOST_PER_ADDRESS", most)
        with (
            served(tmp_path / str(most)) as app,
            as_in_production(app, settings) as address,
            ExitStack() as stack,
        ):
            slow = POST % (address[1], address[1])
            for _ in range(60):
                stack.enter_context(connected(address, slow))
            gate = gates[-1]
            wait_for(partial(is_full, gate, 40 if is_removed else most))
            assert is_served(address, "127.0.0.2") is not is_removed


def test_waiting_connections_give_way_to_new_ones(tmp_path: Path) -> None:
    """A browser of the same address, such as everybody on this computer, would be locked out."""
    settings = WebSettings(listen="127.0.0.1:0")
    with (
        served(tmp_path) as app,
        as_in_production(app, settings) as address,
        ExitStack() as stack,
    ):
        waiting = [stack.enter_context(connected(address, HEAD)) for _ in range(100)]
        assert is_served(address, "127.0.0.1")
        assert is_closed(waiting[0])


def test_a_flood_uses_up_no_descriptors(bundle: Bundle, tmp_path: Path) -> None:
    """The log would fill with tracebacks, and nobody be served."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    with daemon(tmp_path / "node") as node, ExitStack() as stack:
        node.machine("pump-7", bundle.path, kind="simulated")
        node.web(listen="127.0.0.1:0")
        node.write()
        try:
            page = stack.enter_context(web_server(node.config, node.environment))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        address = "127.0.0.1", int(page.url.rpartition(":")[2])
        for number in range(FLOOD):
            sent = (b"", HEAD, b"\x16\x03\x01")[number % 3]
            with contextlib.suppress(ConnectionError):
                stack.enter_context(connected(address, sent))
        begun_s = time.monotonic()
        assert is_served(address, "127.0.0.2")
        assert is_served(address, "127.0.0.1")
        assert time.monotonic() - begun_s < 10.0
        log = page.log.read_text(encoding="utf-8")
        assert "Traceback" not in log
        assert "too many connections" in log
        assert len(log.splitlines()) < 50


def dripping(connection: socket.socket, byte: bytes) -> threading.Event:
    """Send a byte again and again, until the event is set."""
    stop = threading.Event()

    def drip() -> None:
        with contextlib.suppress(OSError):
            while not stop.wait(0.05):
                connection.sendall(byte)

    threading.Thread(target=drip, daemon=True).start()
    return stop


SLOW = {
    "a head": (b"GET / HTTP/1.1\r\nX-A: ", b"a"),
    "the head of the second request": (HEAD + b"\r\n" + b"GET / HTTP/1.1\r\nX-A: ", b"a"),
    "a body": (POST, b" "),
    "a body that nobody reads": (HEAD + b"Content-Length: 100000\r\n\r\n", b" "),
    "nothing": (b"", b""),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_request_ends_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A few slow programs would hold their connections for ever."""
    monkeypatch.setattr(Protocol, "REQUEST_S", 0.7)
    monkeypatch.setattr(bodies, "TIMEOUT_S", 0.7)
    sent, byte = SLOW[name]
    settings = WebSettings(listen="127.0.0.1:0")
    with served(tmp_path) as app, as_in_production(app, settings) as address:
        if b"%d" in sent:
            sent = sent % (address[1], address[1])
        with connected(address, sent) as connection:
            stop = dripping(connection, byte)
            assert is_served(address, "127.0.0.2")
            assert is_closed(connection)
            stop.set()


def gate_of(most: int, settings: WebSettings) -> Gate:
    return Gate(most, settings.trusted_proxies)


def test_a_trusted_proxy_has_connections_for_many_viewers() -> None:
    """Behind a proxy, all viewers have one address."""
    behind = WebSettings.model_validate({"behind_proxy": True, "trusted_proxies": ["10.0.0.1"]})
    for settings, expected in ((WebSettings(), 60), (behind, 100)):
        gate = gate_of(100, settings)
        with ExitStack() as stack:
            for port in range(150):
                one = stack.enter_context(socket.socket())
                if gate.admits(one, ("10.0.0.1", port)):
                    gate.began(("10.0.0.1", port))
            assert len(gate) == expected


def test_networks_of_ipv6_count_as_one_address_and_the_busiest_gives_way() -> None:
    """One subscriber has 2^64 addresses."""
    gate = gate_of(70, WebSettings())
    with ExitStack() as stack:

        def admits(host: str, port: int) -> bool:
            return gate.admits(stack.enter_context(socket.socket()), (host, port, 0, 0))

        assert all(admits(f"2001:db8::{port:x}", port) for port in range(100))
        assert len(gate) == Gate.MOST_PER_ADDRESS
        assert all(admits(f"2001:db8:{port:x}::1", port) for port in range(1, 20))
        assert len(gate) == 70
        assert gate._by_address["2001:db8:1::/64"] == 1
