"""The web application behind a real server, with a control socket that a test answers."""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import argon2
import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp

from monitor.clock import rfc3339
from monitor.config.web import WebSettings
from monitor.control.address import socket_path
from monitor.control.dispatcher import Dispatcher
from monitor.control.messages import (
    AlertArguments,
    Arguments,
    LabelArguments,
    MachineArguments,
    MuteArguments,
    NoArguments,
    RelearnArguments,
    WatchArguments,
)
from monitor.control.server import ControlServer
from monitor.web.assembly import assemble
from monitor.web.context import Context
from monitor.web.protocol import Protocol
from monitor.web.users import Role, set_password

_CHEAP_HASHER = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "correct horse"  # noqa: S105 - of the users of these tests
ALERT_ID = "019abf2f-5d0a-7c3e-8a53-5f5b3a8e9d02"
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass
class StandIn:
    """Answers the commands of a daemon.

    ``received``: changes, with who asked for them. ``watch``, ``ring``
    and ``relearning``: of one machine.
    """

    machines: list[dict[str, Any]] = field(default_factory=list)
    received: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)
    n_status: int = 0
    watch: Callable[[float], None] = lambda _for_s: None
    ring: Path | None = None
    relearning: dict[str, Any] | None = None

    def register(self, dispatcher: Dispatcher) -> None:
        commands: dict[str, type[Arguments]] = {
            "mute": MuteArguments,
            "acknowledge": AlertArguments,
            "label": LabelArguments,
            "relearn": RelearnArguments,
            **dict.fromkeys(("unmute", "learn", "arm", "rollback"), MachineArguments),
            **dict.fromkeys(("relearn_accept", "relearn_discard"), MachineArguments),
        }
        dispatcher.register("status", NoArguments, self._status)
        dispatcher.register("watch", WatchArguments, self._watch)
        dispatcher.register("relearn_show", MachineArguments, self._relearning)
        dispatcher.register("health", NoArguments, lambda _arguments, _by: {"log": []})
        for command, arguments in commands.items():
            dispatcher.register(command, arguments, self._change(command))

    def _relearning(self, _arguments: MachineArguments, _by: str) -> Mapping[str, Any]:
        return {"relearning": self.relearning}

    def _status(self, _arguments: NoArguments, _by: str) -> Mapping[str, Any]:
        self.n_status += 1
        about = {"version": "1", "config": "c", "started_at": rfc3339(0.0), "delivery": "outbox 0"}
        return {"now": rfc3339(0.0), "daemon": about, "machines": self.machines}

    def _watch(self, arguments: WatchArguments, _by: str) -> Mapping[str, Any]:
        self.watch(arguments.for_s)
        return {"ring": str(self.ring) if self.ring is not None else None}

    def _change(self, command: str) -> Callable[[Any, str], Mapping[str, Any]]:
        def change(arguments: Arguments, by: str) -> Mapping[str, Any]:
            self.received.append((command, arguments.model_dump(), by))
            return {"machine": "pump-7"}

        return change


def machine(name: str = "pump-7", **state: Any) -> dict[str, Any]:
    """A machine as the daemon's status shows it."""
    return {
        "id": name,
        "state": {"state": "ok", "reason": "", "detail": "", "warnings": []} | state,
        "score": {"score": 8.4, "threshold": 17.5, "ratio": 0.48, "level_dbfs": -31.4},
        "operation": None,
        "alert": None,
        "mute": None,
    }


@dataclass
class Served:
    """A running application. ``url`` has no slash at its end."""

    url: str
    context: Context
    daemon: StandIn
    state_dir: Path
    app: ASGIApp
    stop_daemon: Callable[[], None]

    def client(self, **options: Any) -> httpx.Client:
        """A client that follows no redirects."""
        # Making the settings of TLS, which are not used here, takes longer than a request.
        return httpx.Client(base_url=self.url, timeout=20, verify=_NO_TLS, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        with self.client() as client:
            return client.get(path, **options)

    def change(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """A change as the scripts of the page send it."""
        with self.client() as client:
            return client.post(
                path, json=body or {}, headers={"X-Auscult": "1", "Origin": self.url} | headers
            )

    @contextmanager
    def logged_in(self, user: str = "anna", password: str = PASSWORD) -> Iterator[httpx.Client]:
        """A client with the session of a user."""
        with self.client() as client:
            answer = client.post(
                "/login", data={"user": user, "password": password}, headers={"Origin": self.url}
            )
            assert answer.status_code == 303, answer.text
            yield client


@contextmanager
def served(
    folder: Path,
    *,
    users: Mapping[str, Role] | None = None,
    prepare: Callable[[Context], None] = lambda _context: None,
    sound_after_s: float | None = None,
    **settings: Any,
) -> Iterator[Served]:
    """The application with ``[web]`` as given, beside a stand-in for the daemon.

    Hashes of passwords are cheap here: those of the product are in ``test_web_users.py``.
    ``users``: all with ``PASSWORD``. ``prepare``: called before the server starts.
    """
    state_dir = folder / "state"
    state_dir.mkdir(parents=True, exist_ok=True)
    config = folder / "config.toml"
    daemon = StandIn([machine()])
    dispatcher = Dispatcher(config)
    daemon.register(dispatcher)
    with ExitStack() as stack:
        runtime = stack.enter_context(tempfile.TemporaryDirectory(prefix="auscult-"))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("RUNTIME_DIRECTORY", runtime)
        patch.setattr("monitor.web.users._HASHER", _CHEAP_HASHER)
        patch.setattr("monitor.web.users._NOBODY", _CHEAP_HASHER.hash("of nobody"))
        for name, role in (users or {}).items():
            set_password(state_dir / "web" / "users.json", name, role, PASSWORD)
        control = ControlServer(socket_path(state_dir), dispatcher)
        control.start()
        stack.callback(control.stop)
        app, context = assemble(
            WebSettings(**({"listen": "127.0.0.1:0"} | settings)),
            config=config,
            state_dir=state_dir,
            own_dir=state_dir / "web",
            sound_after_s=sound_after_s,
        )
        prepare(context)
        url = stack.enter_context(running(app))
        yield Served(url, context, daemon, state_dir, app, control.stop)


@contextmanager
def running(app: ASGIApp) -> Iterator[str]:
    """A real server in a thread; gives its address."""
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=Protocol,
            log_config=None,
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()
