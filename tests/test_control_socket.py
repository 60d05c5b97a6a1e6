"""The control socket: who may use it, and what a bad client can do."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.control.address import SERVICE_SOCKET, possible_paths, socket_path
from monitor.control.client import ask
from monitor.control.dispatcher import Dispatcher
from monitor.control.messages import (
    MAX_REQUEST_BYTES,
    LabelArguments,
    MachineArguments,
    MuteArguments,
    NoArguments,
    Response,
)
from monitor.control.server import ControlServer
from monitor.errors import AuscultError, ConfigError, ServiceUnavailableError, UsageError
from tests.daemons import ROOT
from tests.waiting import wait_for

CONFIG = Path("/etc/auscult/config.toml")


class Served:
    """A server with some commands, and what they were asked."""

    def __init__(self, path: Path) -> None:
        self.asked: list[Any] = []
        self.users: list[str] = []
        dispatcher = Dispatcher(CONFIG)
        dispatcher.register("status", NoArguments, self._answer)
        dispatcher.register("mute", MuteArguments, self._answer)
        dispatcher.register("label", LabelArguments, self._label)
        dispatcher.register("learn", MachineArguments, self._refuse)
        dispatcher.register("fail", NoArguments, self._fail)
        dispatcher.register("large", NoArguments, lambda *_: {"text": "x" * 2_000_000})
        self.dispatcher = dispatcher
        self.server = ControlServer(path, dispatcher)
        self.path = path

    def _answer(self, arguments: Any, by: str) -> dict[str, Any]:
        self.asked.append(arguments)
        self.users.append(by)
        return {"answered": True}

    def _label(self, arguments: LabelArguments, by: str) -> dict[str, Any]:
        return {"machine": "m", **arguments.model_dump(), **self._answer(arguments, by)}

    def _refuse(self, _arguments: Any, _by: str) -> dict[str, Any]:
        raise ConfigError("not configured for learning")

    def _fail(self, _arguments: Any, _by: str) -> dict[str, Any]:
        raise ZeroDivisionError

    def ask(self, command: str = "status", **arguments: Any) -> dict[str, Any]:
        return ask([self.path], command, arguments)

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(5.0)
        connection.connect(str(self.path))
        return connection


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path that is short enough for a socket."""
    with TemporaryDirectory(prefix="auscult-") as name:
        yield Path(name)


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    one = Served(folder / "control.sock")
    one.server.start()
    yield one
    one.server.stop()


def test_a_command_gets_its_arguments_and_the_user(served: Served) -> None:
    """No command would work, or nobody would know who muted a machine."""
    assert served.ask("mute", machine="pump-7", for_s=7200, note="oil") == {"answered": True}
    assert served.asked == [MuteArguments(machine="pump-7", for_s=7200.0, note="oil")]
    assert served.users == ["root" if os.geteuid() == 0 else os.environ["USER"]]


@pytest.mark.parametrize(
    ("command", "arguments", "error", "says"),
    [
        ("stauts", {}, UsageError, '"stauts" is not a command; known: '),
        ("mute", {"machine": "m"}, UsageError, "mute: for_s Field required"),
        ("mute", {"machine": "m", "for_s": -1}, UsageError, "for_s must be greater than"),
        ("mute", {"machine": "m", "for_s": 1e12}, UsageError, "for_s must be less than"),
        ("mute", {"machine": "m", "for_s": 9, "x": 1}, UsageError, "mute: x Extra"),
        ("mute", {"machine": "m", "for_s": 9, "note": "n" * 501}, UsageError, "note must have at"),
        ("label", {"alert_id": "x", "label": "fault"}, UsageError, "alert_id must be at least 8"),
        ("label", {"alert_id": "0" * 8, "label": "bad"}, UsageError, "label must be 'fault'"),
        ("learn", {"machine": "m"}, ConfigError, "not configured for learning"),
    ],
)
def test_a_refusal_has_its_reason_and_exit_status(
    served: Served, command: str, arguments: dict[str, Any], error: type[AuscultError], says: str
) -> None:
    """A mistake would end in a traceback, or with the wrong exit status."""
    with pytest.raises(error) as caught:
        served.ask(command, **arguments)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert served.asked == []


def test_a_bug_in_a_command_is_reported_and_the_socket_goes_on(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """One wrong command would end all commands until a restart."""
    with caplog.at_level(logging.CRITICAL), pytest.raises(AuscultError, match="internal error"):
        served.ask("fail")
    assert served.ask()["answered"]


def test_another_version_is_refused_in_one_line(served: Served) -> None:
    """A client of a later release would get a wrong answer."""
    with served.connect() as connection:
        connection.sendall(b'{"version": 2, "command": "status"}\n')
        response = Response.parse(connection.makefile("rb").readline())
    assert response.error is not None
    assert response.error.status == 64
    assert "version" in response.error.message


def test_a_daemon_with_another_configuration_refuses(served: Served, folder: Path) -> None:
    """A machine of another daemon would be muted."""
    assert ask([served.path], "status", config=CONFIG)["answered"]
    with pytest.raises(
        ServiceUnavailableError, match=f"the daemon that answers runs with {CONFIG}"
    ):
        ask([served.path], "status", config=folder / "config.toml")


def test_the_daemon_with_the_configuration_is_found(served: Served, folder: Path) -> None:
    """One of two daemons on a computer could not be asked."""
    path = folder / "other.sock"
    other = ControlServer(path, Dispatcher(Path("/srv/other.toml")))
    other.start()
    try:
        assert ask([path, served.path], "status", config=CONFIG)["answered"]
    finally:
        other.stop()


def test_without_a_daemon_the_error_names_the_command_that_starts_it(folder: Path) -> None:
    """A user would see only "connection refused"."""
    with pytest.raises(ServiceUnavailableError, match="no daemon is running: start it with"):
        ask([folder / "control.sock"], "status")


# Rights.


def test_only_the_group_may_use_the_socket(folder: Path) -> None:
    """Every user of the computer could mute the machines."""
    if os.geteuid() != 0:
        pytest.skip("giving a file to another group needs root")
    served = Served(folder / "control.sock")
    served.server = ControlServer(served.path, served.dispatcher, group="audio")
    served.server.start()
    try:
        rights = served.path.stat()
        assert stat.S_IMODE(rights.st_mode) == 0o660
        assert rights.st_gid != 0
        folder.chmod(0o755)
        member, other = (_as_nobody(served.path, groups) for groups in (str(rights.st_gid), ""))
    finally:
        served.server.stop()
    assert member.returncode == 0, member.stderr
    assert other.returncode == 69
    assert "members of the group auscult" in other.stderr
    assert len(other.stderr.splitlines()) == 1
    assert len(served.asked) == 1
    assert served.users == ["nobody"]


# Imports first: the interpreter may be in a folder that only root can read.
AS_NOBODY = """
import encodings.idna, os, sys
import monitor.commands.operate
from monitor.cli import main
os.setgroups([int(group) for group in sys.argv[1].split()])
os.setgid(65534)
os.setuid(65534)
main(["label", "01234567", "fault", "--json", "--socket", sys.argv[2]])
"""


def _as_nobody(path: Path, groups: str) -> subprocess.CompletedProcess[str]:
    """`auscult label` of the user nobody, who is in these groups."""
    return subprocess.run(
        [sys.executable, "-c", AS_NOBODY, groups, str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_a_missing_group_is_no_error(folder: Path) -> None:
    """A computer without the group could not start the daemon."""
    server = ControlServer(folder / "control.sock", Dispatcher(CONFIG), group="no-such-group")
    server.start()
    server.stop()


# More than one daemon.

KILLED = """
import os, signal, sys
from pathlib import Path
from monitor.control.dispatcher import Dispatcher
from monitor.control.server import ControlServer
ControlServer(Path(sys.argv[1]), Dispatcher(Path("c"))).start()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_socket_of_a_killed_daemon_is_replaced(folder: Path) -> None:
    """After a crash, no command would work until somebody deletes the socket."""
    path = folder / "control.sock"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, cwd=ROOT)
    assert path.is_socket()
    served = Served(path)
    served.server.start()
    try:
        assert served.ask()["answered"]
    finally:
        served.server.stop()
    assert not path.exists()


def test_a_socket_that_was_removed_is_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runtime folder of a user is removed at the logout: no command would find the daemon."""
    monkeypatch.setattr(ControlServer, "WATCH_S", 0.02)
    path = folder / "runtime" / "control.sock"
    served = Served(path)
    served.server.start()
    for _ in range(2):
        shutil.rmtree(path.parent)
        wait_for(path.is_socket)
        assert served.ask()["answered"]
    served.server.stop()
    assert not path.exists()


def test_a_second_daemon_does_not_take_the_socket(served: Served) -> None:
    """The commands would reach another daemon than before."""
    second = ControlServer(served.path, Dispatcher(CONFIG))
    with pytest.raises(ServiceUnavailableError, match="another daemon uses this socket"):
        second.start()
    second.stop()
    assert served.ask()["answered"]


@pytest.mark.parametrize("wrong", ["long", "file in the way"])
def test_a_socket_that_cannot_be_made_is_one_clear_line(folder: Path, wrong: str) -> None:
    """The daemon would not start, or with a traceback."""
    if wrong == "long":
        path, says = (
            folder / ("x" * 90) / "control.sock",
            "the path of a socket has at most 107 bytes",
        )
    else:
        (folder / "state").write_text("")
        path, says = folder / "state" / "control.sock", "the socket cannot be made"
    with pytest.raises(ServiceUnavailableError, match=says) as caught:
        ControlServer(path, Dispatcher(CONFIG)).start()
    assert str(path.parent) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_daemon_and_client_agree_on_the_path(folder: Path) -> None:
    """A client would look in another place than the daemon listens in."""
    state = folder / "state"
    user = {"XDG_RUNTIME_DIR": str(folder)}
    for environment in ({}, user):
        assert socket_path(state, environment) in possible_paths(state, user)
    assert socket_path(state, user) != socket_path(folder / "other", user)
    assert socket_path(state, {"RUNTIME_DIRECTORY": "/run/auscult"}) == SERVICE_SOCKET
    assert possible_paths(None, {}) == [SERVICE_SOCKET]


# Bad clients.


def send(served: Served, data: bytes) -> bytes:
    """What the daemon answers to these bytes and the end of the stream."""
    with served.connect() as connection, contextlib.suppress(ConnectionError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").read()
    return b""


DEEP = b'{"version":1,"command":"status","arguments":{"a":' + b"[" * 3000 + b"]" * 3000 + b"}}\n"
HUGE = b'{"version":1,"command":"mute","arguments":{"machine":"m","for_s":' + b"9" * 5000 + b"}}\n"
REQUEST = b'{"version":1,"command":"status"}\n'


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        REQUEST.strip(),
        b"null\n",
        b"[]\n",
        b'{"version":1}\n',
        b'{"version":"1","command":"status"}\n',
        b'{"version":1,"command":"status","arguments":{"a":NaN}}\n',
        b'{"version":1,"command":"mute","arguments":{"machine":"m","for_s":1e999}}\n',
        b'{"version":1,"command":"\\ud800"}\n',
        b'{"version":1,"command":"status","config":"a\\u0000b"}\n',
        b"\xff\xfe\n",
        DEEP,
        HUGE,
        b"x" * (MAX_REQUEST_BYTES + 1),
        b"x" * MAX_REQUEST_BYTES + b"\n",
        REQUEST + REQUEST,
    ],
)
def test_what_is_no_request_is_refused_in_one_line(served: Served, data: bytes) -> None:
    """A client with a mistake could end the commands, or get no answer."""
    lines = send(served, data).splitlines()
    if len(data) <= MAX_REQUEST_BYTES:
        (line,) = lines
        response = Response.parse(line)
        assert response.error is not None
        assert response.error.status in {64, 69}
        assert response.error.message.isprintable()
    assert served.asked == []
    assert served.ask()["answered"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
_REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "version": st.just(1) | _JSON,
        "command": st.sampled_from(["status", "mute", "label", "learn"]) | _JSON,
        "arguments": _JSON
        | st.dictionaries(
            st.sampled_from(["machine", "for_s", "note", "alert_id", "label"]), _JSON
        ),
        "config": _JSON,
    },
).map(lambda request: json.dumps(request).encode() + b"\n")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=200) | _REQUESTS | st.binary(max_size=100).map(REQUEST.__add__))
def test_any_bytes_give_an_answer_or_end_the_connection(served: Served, data: bytes) -> None:
    """Some bytes of a client would end the commands until a restart."""
    served.server._tokens = float(served.server.BURST)  # the test itself is not slowed down
    for line in send(served, data).splitlines():
        Response.parse(line)
    assert served.ask()["answered"]


def test_a_request_may_arrive_in_pieces(served: Served) -> None:
    """A slow computer could not use the commands."""
    with served.connect() as connection:
        for at in range(len(REQUEST)):
            connection.send(REQUEST[at : at + 1])
        assert b"true" in connection.recv(1000)
        connection.sendall(REQUEST)  # the connection can be used again
        assert b"true" in connection.recv(1000)


def test_slow_clients_are_closed_and_do_not_delay_others(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One client that sends nothing would block the commands of all others."""
    monkeypatch.setattr(ControlServer, "CLIENT_S", 3.0)
    began_s = time.monotonic()
    with served.connect() as silent, served.connect() as partial, served.connect() as greedy:
        partial.sendall(REQUEST[:10])
        greedy.sendall(b'{"version":1,"command":"large"}\n')  # and never reads the answer
        for _ in range(5):
            assert served.ask()["answered"]
        assert time.monotonic() - began_s < 2.5
        for client in (silent, partial):
            assert client.recv(100) == b""
        wait_for(lambda: not served.server._clients)


def test_too_many_clients_do_not_block_a_new_one(served: Served) -> None:
    """A client with many connections would block the commands of all others."""
    with contextlib.ExitStack() as stack:
        for _ in range(3 * ControlServer.MAX_CLIENTS):
            stack.enter_context(served.connect())
        assert served.ask()["answered"]
        assert len(served.server._clients) <= ControlServer.MAX_CLIENTS


def test_a_flood_of_requests_does_not_take_the_processor(served: Served) -> None:
    """The machines would be scored late while a client asks without a pause."""
    began_s = time.monotonic()
    served.server._tokens, served.server._tokens_at_s = 0.0, began_s
    stop = threading.Event()

    def flood() -> None:
        with contextlib.suppress(OSError), served.connect() as connection:
            while not stop.is_set():
                connection.sendall(REQUEST)
                connection.recv(1000)

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(served.asked) >= 50, 20)
    stop.set()
    for thread in threads:
        thread.join()
    elapsed_s = time.monotonic() - began_s
    assert len(served.asked) / elapsed_s <= 1.2 * ControlServer.EVENTS_PER_S


def test_a_large_answer_arrives_complete(served: Served) -> None:
    """The status of many machines would be cut off."""
    assert len(served.ask("large")["text"]) == 2_000_000


def test_the_stop_is_quick_and_closes_the_connections(served: Served) -> None:
    """systemd would kill a daemon that waits for a client."""
    with served.connect() as idle:
        wait_for(lambda: served.server._clients)
        began_s = time.monotonic()
        served.server.stop()
        assert time.monotonic() - began_s < 0.5
        assert idle.recv(100) == b""
    assert not served.path.exists()


@pytest.mark.parametrize("answer", [b"", b"{}\n", b"not JSON\n", b'{"version":2,"ok":true}\n'])
def test_a_server_that_is_no_daemon_is_reported(folder: Path, answer: bytes) -> None:
    """Another program on the socket would end a command with a traceback."""
    path = folder / "control.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ServiceUnavailableError, match="the answer is not valid"):
            ask([path], "status")
        thread.join()


def test_a_daemon_that_hangs_is_reported(folder: Path) -> None:
    """A command would wait for ever."""
    path = folder / "control.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(ServiceUnavailableError, match="did not answer within"):
            ask([path], "status", timeout_s=0.2)
