"""Live data in the browser: server-sent events, their limits and their end."""

from __future__ import annotations

import base64
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
import pytest

from monitor.live.feed import LiveFeed
from monitor.model.bundle import Bundle
from monitor.web.channels import Channels
from monitor.web.streams import Client, EventStream
from monitor.web.users import Role, set_password
from tests.daemons import daemon
from tests.test_live import BLOCK, play, tone
from tests.waiting import wait_for
from tests.web_app import Served, machine, served
from tests.web_server import web_server


@contextmanager
def events(client: httpx.Client, path: str) -> Iterator[Iterator[tuple[str, Any]]]:
    """The events of a stream: name and document."""
    with client.stream("GET", path) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")

        def parsed() -> Iterator[tuple[str, Any]]:
            name = ""
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    yield name, json.loads(line.removeprefix("data: "))

        yield parsed()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as one:
        yield one


def test_the_overview_arrives_when_it_changes(running: Served) -> None:
    """A page would show the state of the moment when it was opened."""
    with running.client() as client, events(client, "/api/live/overview") as received:
        name, first = next(received)
        assert name == "overview"
        assert [one["state"] for one in first["machines"]] == ["ok"]
        running.daemon.machines[0]["state"]["state"] = "anomaly"
        name, second = next(received)
        assert [one["state"] for one in second["machines"]] == ["anomaly"]


def test_all_browsers_together_ask_the_daemon_once_a_second(running: Served) -> None:
    """Five browsers would be five times the work for the daemon."""
    with running.client() as one, events(one, "/api/live/overview") as received:
        next(received)
        others = [running.client() for _ in range(5)]
        streams = [events(other, "/api/live/overview") for other in others]
        assert [next(stream.__enter__())[0] for stream in streams] == ["overview"] * 5
        before, begun_s = running.daemon.n_status, time.monotonic()
        for _ in range(3):
            running.daemon.machines[0]["score"]["ratio"] += 0.1
            next(received)
        passed_s = time.monotonic() - begun_s
        assert running.daemon.n_status - before <= passed_s + 2
        for other in others:
            other.close()


def test_heartbeats_show_that_the_connection_lives(
    running: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser could not distinguish a quiet machine from a lost connection."""
    monkeypatch.setattr(EventStream, "HEARTBEAT_S", 0.2)
    with running.client() as client, events(client, "/api/live/overview") as received:
        assert next(received)[0] == "overview"
        assert [next(received)[0] for _ in range(3)] == ["heartbeat"] * 3


def test_a_stream_ends_with_its_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who has lost the right to look could go on looking."""
    monkeypatch.setattr(EventStream, "HEARTBEAT_S", 0.1)
    with (
        served(tmp_path, users={"anna": Role.VIEWER}) as protected,
        protected.logged_in() as client,
        events(client, "/api/live/overview") as received,
    ):
        assert next(received)[0] == "overview"
        set_password(
            protected.context.password_check.users.path, "anna", Role.VIEWER, "another one"
        )
        assert protected.get("/api/overview").status_code == 401  # the file was read again
        assert {name for name, _ in received} <= {"heartbeat"}


def test_a_busy_stream_ends_with_its_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sound of a machine never pauses: a viewer could look for ever."""
    monkeypatch.setattr(EventStream, "HEARTBEAT_S", 0.3)
    monkeypatch.setattr("monitor.web.live._Overview.INTERVAL_S", 0.01)
    monkeypatch.setattr("monitor.web.daemon_link.DaemonLink.LEAST_INTERVAL_S", 0.0)
    with (
        served(tmp_path, users={"anna": Role.VIEWER}) as protected,
        protected.logged_in() as client,
        events(client, "/api/live/overview") as received,
    ):
        cookie = protected.context.password_check.sessions.cookie
        protected.context.password_check.sessions.end(client.cookies[cookie])
        for n_received, _ in enumerate(received):
            assert n_received < 2000
            protected.daemon.machines[0]["score"]["ratio"] += 0.1


def test_only_so_many_streams_are_open(running: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """One program could take all connections and the memory."""
    monkeypatch.setattr(Channels, "MOST_PER_ADDRESS", 2)
    path = "/api/live/overview"
    with running.client() as one, events(one, path) as first:
        next(first)
        with running.client() as two, events(two, path) as second:
            next(second)
            refused = running.get(path)
            assert refused.status_code == 503
            assert refused.headers["retry-after"]
        wait_for(lambda: running.context.channels.n_clients == 1)
        with running.client() as three, events(three, path) as third:
            next(third)


def slow_reader(url: str) -> socket.socket:
    """A browser that asks for a stream and never reads."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", int(url.rpartition(":")[2])))
    connection.sendall(b"GET /api/live/overview HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return connection


def test_a_slow_reader_is_dropped_and_the_others_are_not(
    running: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sleeping laptop would fill the memory, or stop the page for everybody."""
    monkeypatch.setattr("monitor.web.daemon_link.DaemonLink.LEAST_INTERVAL_S", 0.0)
    monkeypatch.setattr("monitor.web.live._Overview.INTERVAL_S", 0.01)
    state = running.daemon.machines[0]["state"]
    state["detail"] = "x" * 400_000
    channels = running.context.channels
    with running.client() as client, events(client, "/api/live/overview") as received:
        next(received)
        with slow_reader(running.url):
            wait_for(lambda: channels.n_clients == 2)
            stop = threading.Event()

            def change() -> None:
                while not stop.wait(0.02):
                    running.daemon.machines[0]["score"]["ratio"] += 0.1

            changing = threading.Thread(target=change)
            changing.start()
            try:
                for _ in range(500):
                    next(received)
                    if channels.n_clients == 1:
                        break
                event, _ = next(received)
            finally:
                stop.set()
                changing.join()
            assert channels.n_clients == 1
            assert event == "overview"


def test_what_waits_for_a_client_is_limited() -> None:
    """Each slow reader would need more and more memory."""
    aborted: list[bool] = []
    client = Client()
    client.abort = lambda: aborted.append(True)
    for _ in range(Client.MOST_WAITING):
        client.put(b"x")
    assert aborted == []
    client.put(b"x")
    assert aborted == [True]
    large = Client()
    large.put(b"x" * (Client.MOST_WAITING_BYTES + 1))  # one message always fits
    assert not large.is_over
    large.put(b"x")
    assert large.is_over


def test_the_sound_of_a_machine_arrives_as_columns(running: Served, tmp_path: Path) -> None:
    """The spectrogram of the page would stay empty."""
    feed = LiveFeed("pump-7", tmp_path / "live" / "pump-7.ring")
    running.daemon.watch = feed.watch
    running.daemon.ring = feed.path
    sound, position = tone(60.0), 0
    with running.client() as client, events(client, "/api/live/machine/pump-7") as received:
        name, machine = next(received)
        assert (name, machine["id"]) == ("machine", "pump-7")
        wait_for(lambda: feed.is_watched)
        found: dict[str, Any] = {}
        while "columns" not in found:
            play(feed, sound[position : position + 10 * BLOCK], at=position)
            position += 10 * BLOCK
            name, document = next(received)
            found[name] = document
    header, columns = found["header"], found["columns"]
    assert len(header["mel_hz"]) == header["n_mels"]
    pictures = np.frombuffer(base64.b64decode(columns["columns"]), dtype=np.uint8)
    pictures = pictures.reshape(columns["n"], 3, header["n_mels"])
    loudest = pictures[:, 0].mean(axis=0).argmax()
    assert abs(header["mel_hz"][loudest] - 1000.0) < 60.0
    assert columns["level_dbfs"] == pytest.approx(-23.0, abs=0.5)
    feed.end()


def test_an_unknown_machine_has_no_stream(running: Served) -> None:
    """The page of a removed machine would wait for ever."""
    assert running.get("/api/live/machine/nobody").status_code == 404


def test_a_machine_that_is_no_longer_known_is_not_shown_as_it_was(running: Served) -> None:
    """Without a history, the open page of a removed machine would show "OK" for ever."""
    with running.client() as client, events(client, "/api/live/machine/pump-7") as received:
        assert next(received)[1]["state"] == "ok"
        running.daemon.machines.clear()
        _, removed = next(received)
        assert (removed["state"], removed["reason"]) == ("unknown", "not_monitored")
        assert removed["monitoring"] == "running"
        running.daemon.machines.append(machine())
        assert next(received)[1]["state"] == "ok"
        running.stop_daemon()
        _, stopped = next(received)
        assert (stopped["state"], stopped["reason"]) == ("unknown", "no_daemon")
        assert stopped["monitoring"] == "stopped"


@pytest.mark.slow
def test_the_page_ends_within_a_second_with_streams_open(bundle: Bundle, tmp_path: Path) -> None:
    """A stop of the service would wait for every browser, and then kill the page."""
    with TemporaryDirectory(prefix="auscult-") as runtime, daemon(tmp_path / "daemon") as watched:
        watched.environment["RUNTIME_DIRECTORY"] = runtime
        watched.web(listen="127.0.0.1:0")
        watched.machine("pump-7", bundle.path, kind="simulated")
        watched.start()
        watched.wait_for_log("ready")
        with (
            web_server(watched.config, watched.environment) as page,
            httpx.Client(base_url=page.url, timeout=30) as client,
            events(client, "/api/live/overview") as overview,
            events(client, "/api/live/machine/pump-7") as machine,
            slow_reader(page.url),
        ):
            next(overview)
            while next(machine)[0] != "columns":
                pass
            begun_s = time.monotonic()
            assert page.end(signal.SIGTERM) == 0
            assert time.monotonic() - begun_s < 1.5  # the interpreter ends, too
