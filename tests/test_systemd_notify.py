"""The datagrams for systemd, read from a real socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.process.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@auscult-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name[1:] if name.startswith("@") else name)
        sock.settimeout(2)
        yield sock, name


def test_datagrams_are_what_systemd_expects(listener: tuple[socket.socket, str]) -> None:
    """A unit of Type=notify would never become active or never stop."""
    sock, name = listener
    notifier = Notifier({"NOTIFY_SOCKET": name})
    assert notifier.active
    notifier.ready("3 machines")
    assert sock.recv(1000) == b"READY=1\nSTATUS=3 machines"
    notifier.ready()
    assert sock.recv(1000) == b"READY=1"
    notifier.watchdog()
    assert sock.recv(1000) == b"WATCHDOG=1"
    notifier.stopping()
    assert sock.recv(1000) == b"STOPPING=1"
    notifier.status("pump: ok\nREADY=0\r\n  fan: ok")
    assert sock.recv(1000) == b"STATUS=pump: ok READY=0 fan: ok"
    notifier.status("reload refused: /etc/b\udcff.toml")  # a name that is not UTF-8
    assert sock.recv(1000) == b"STATUS=reload refused: /etc/b\\xff.toml"
    before_us = time.monotonic_ns() // 1000
    notifier.reloading()
    first, second = sock.recv(1000).decode().split("\n")
    assert first == "RELOADING=1"
    key, value = second.split("=")
    assert key == "MONOTONIC_USEC"
    assert before_us <= int(value) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("address", [None, "/nowhere/at/all", "@nobody-listens", "/\0"])
def test_a_missing_receiver_is_no_error(address: str | None) -> None:
    """The daemon could not be started from a shell."""
    notifier = Notifier({"NOTIFY_SOCKET": address} if address else {})
    with notifier:
        notifier.ready()
    notifier.status("fine")
    notifier.watchdog()


def test_full_queue_does_not_block(tmp_path: Path) -> None:
    """If systemd hangs, the daemon would hang too."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        full_s = 0.0
        for _ in range(2000):
            begun_s = time.monotonic()
            notifier.watchdog()
            full_s = time.monotonic() - begun_s
            if full_s > 0.5:
                break
        assert 0.5 < full_s < 2.0


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_interval(environ: dict[str, str], interval_s: float | None) -> None:
    """With notifications that are too rare, systemd would kill a healthy daemon."""
    assert Notifier(environ).watchdog_interval_s == interval_s
