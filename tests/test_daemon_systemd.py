"""The daemon as a process, and its messages to systemd."""

from __future__ import annotations

import signal
import socket

import pytest

from monitor.model.bundle import Bundle
from tests.bundles import machine_sound
from tests.daemons import Daemon, notification

pytestmark = pytest.mark.slow


def test_systemd_is_notified_of_every_step(
    watched: Daemon, manager: socket.socket, bundle: Bundle
) -> None:
    """systemd would kill a healthy daemon, or keep one that hangs."""
    watched.feed("m", bundle.path, machine_sound(10))
    watched.start()
    notification(manager, "READY=1")
    assert "1 machine" in notification(manager, "STATUS=")
    notification(manager, "WATCHDOG=1")
    watched.send(signal.SIGHUP)
    assert "MONOTONIC_USEC=" in notification(manager, "RELOADING=1")
    notification(manager, "READY=1")
    watched.config.write_text("broken")
    watched.send(signal.SIGHUP)
    assert "RELOAD REFUSED" in notification(manager, "RELOAD REFUSED")
    watched.send(signal.SIGTERM)
    notification(manager, "STOPPING=1")


def test_ready_is_not_sent_before_the_bundles_are_loaded(
    watched: Daemon, manager: socket.socket
) -> None:
    """A service that cannot monitor would be reported as active."""
    watched.machine("m", watched.folder / "nowhere", kind="simulated")
    watched.start()
    assert watched.process.wait(30) == 78
    manager.settimeout(0.2)
    with pytest.raises(TimeoutError):
        notification(manager, "READY", 0.2)
    (line,) = watched.log.read_text().splitlines()
    assert line.startswith('auscult: machine "m": ')
    assert "no such bundle" in line


def test_the_journal_shows_where_the_daemon_hung(watched: Daemon, bundle: Bundle) -> None:
    """Nobody could find out why a node hangs once a month."""
    watched.feed("m", bundle.path, machine_sound(10))
    # The list of threads is read while they run: once in many times, this fails.
    for _ in range(3):
        watched.log.unlink(missing_ok=True)  # the list in it is no JSON
        watched.start()
        watched.wait_for_log("ready")
        if (status := watched.end(signal.SIGABRT)) == -signal.SIGABRT:
            break
    assert status == -signal.SIGABRT
    logged = watched.log.read_text()
    assert "Fatal Python error: Aborted" in logged
    assert "daemon.py" in logged
    assert "delivery_thread.py" in logged


def test_an_unplugged_source_does_not_end_the_watchdog_notifications(
    watched: Daemon, manager: socket.socket, bundle: Bundle
) -> None:
    """An unplugged microphone would restart the service again and again."""
    watched.machine("m", bundle.path, kind="command", command=["/nonexistent/recorder"])
    watched.start()
    assert "1 unavailable" in notification(manager, "unavailable")
    for _ in range(3):
        notification(manager, "WATCHDOG=1")
