"""The real daemon as a separate process, for tests."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from monitor.domain import FloatArray
from tests.bundles import machine_sound
from tests.mosquitto import Mosquitto, Subscriber
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parent.parent

# Writes a file of float32 samples at (speed) times real time, in pieces of odd sizes, and waits.
FEEDER = """
import sys, time, random
data = open(sys.argv[1], "rb").read()
speed, rate = float(sys.argv[2]), int(sys.argv[3])
random.seed(1)
begun, at = time.monotonic(), 0
while at < len(data):
    size = random.randrange(1, 12_000)
    sys.stdout.buffer.write(data[at : at + size])
    sys.stdout.buffer.flush()
    at += size
    time.sleep(max(0.0, begun + at / 4 / rate / speed - time.monotonic()))
if sys.argv[4] == "wait":
    time.sleep(3600)
"""


class Daemon:
    """`auscult run` on a configuration in ``folder``."""

    def __init__(self, folder: Path, broker: Mosquitto | None = None) -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self.log = folder / "daemon.log"
        self._mqtt = {
            "host": broker.host if broker else "127.0.0.1",
            "port": broker.port if broker else 1,
            "base_topic": "auscult/test",
            "reconnect_min_s": 0.05,
            "reconnect_max_s": 0.3,
            "score_interval_s": 0.001,
        }
        self._tables: dict[str, dict[str, Any]] = {}
        self._machines: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}

    def mqtt(self, **settings: Any) -> None:
        """Change the ``[mqtt]`` table of the next ``write``."""
        self._mqtt |= settings

    def web(self, **settings: Any) -> None:
        """Change the ``[web]`` table of the next ``write``."""
        self.table("web", **settings)

    def table(self, name: str, **settings: Any) -> None:
        """Change a table of the next ``write``."""
        self._tables.setdefault(name, {}).update(settings)

    def machine(
        self,
        name: str,
        bundle: Path,
        *,
        operation: dict[str, Any] | None = None,
        learning: dict[str, Any] | None = None,
        shaft: dict[str, Any] | None = None,
        **source: Any,
    ) -> None:
        """Add a machine to the next ``write``."""
        table = {"id": name, "bundle": str(bundle)}
        own = f"[machine.operation]\n{toml(operation)}" if operation else ""
        own += f"[machine.learning]\n{toml(learning)}" if learning else ""
        own += f"[machine.shaft]\n{toml(shaft)}" if shaft else ""
        self._machines.append(f"[[machine]]\n{toml(table)}{own}[machine.source]\n{toml(source)}")

    def target(self, **settings: Any) -> None:
        """Add a ``[[notify]]`` table to the next ``write``."""
        self._machines.append(f"[[notify]]\n{toml(settings)}")

    def forget_machines(self) -> None:
        """Remove all machines and targets."""
        self._machines.clear()

    def feed(  # a machine that receives samples through a command, in odd-sized pieces
        self,
        name: str,
        bundle: Path,
        samples: FloatArray,
        *,
        speed: float = 1e9,
        then: str = "wait",
        sample_rate_hz: int = 16_000,
        operation: dict[str, Any] | None = None,
        shaft: dict[str, Any] | None = None,
    ) -> None:
        """Add a machine whose source is a program that writes ``samples``."""
        path = self.folder / f"{name}-{time.monotonic_ns()}.f32"
        path.write_bytes(samples.astype("<f4").tobytes())
        command = [sys.executable, "-S", "-c", FEEDER, str(path), str(speed)]
        self.machine(
            name,
            bundle,
            operation=operation,
            shaft=shaft,
            kind="command",
            command=[*command, str(sample_rate_hz), then],
            sample_format="f32le",
            sample_rate_hz=sample_rate_hz,
            silence_timeout_s=600,
            restart=False,
            realtime=speed == 1,
        )

    def write(self) -> None:
        """Write ``config.toml``."""
        tables = {"mqtt": self._mqtt, **self._tables}
        text = "".join(f"[{name}]\n{toml(table)}\n" for name, table in tables.items())
        self.config.write_text(text + "\n".join(self._machines))

    def start(self, *arguments: str) -> None:
        """Write the configuration and start."""
        self.write()
        command = [sys.executable, "-m", "monitor", "run", "--config", str(self.config)]
        self._process = subprocess.Popen(
            [*command, "--log-format", "json", *arguments],
            cwd=ROOT,
            env=os.environ | self.environment,
            stderr=self.log.open("ab"),
            stdout=subprocess.DEVNULL,
        )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 30.0) -> int:
        """Send a signal and wait; the exit status. Children of a killed daemon are killed too, as
        systemd does."""
        family = []
        if self.process.poll() is None:
            if number in {signal.SIGKILL, signal.SIGABRT}:
                family = psutil.Process(self.process.pid).children(recursive=True)
            self.process.send_signal(number)
        status = self.process.wait(timeout_s)
        for left in family:
            with suppress(psutil.NoSuchProcess):
                left.kill()
        return status

    def events(self) -> list[dict[str, Any]]:
        """The log so far."""
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def has_logged(self, text: str) -> bool:
        """Whether a log message contains the text."""
        return any(text in event["message"] for event in self.events())

    def wait_for_log(self, text: str, timeout_s: float = 30.0) -> None:
        """Wait for a log message."""
        try:
            wait_for(lambda: self.has_logged(text), timeout_s)
        except AssertionError:
            raise AssertionError(f"{text!r} was not logged:\n{self.log.read_text()}") from None


@contextmanager
def daemon(folder: Path, broker: Mosquitto | None = None) -> Iterator[Daemon]:
    """A daemon that is stopped at the end. It is not started yet."""
    folder.mkdir(parents=True, exist_ok=True)
    one = Daemon(folder, broker)
    try:
        yield one
    finally:
        if one._process is not None and one._process.poll() is None:
            one.end(signal.SIGKILL)


def toml(table: dict[str, Any]) -> str:
    """Keys and values; JSON's notation of these types is TOML's too."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())


def healthy_then_faulty() -> FloatArray:
    """15 s of healthy sound, then 15 s of a fault."""
    return np.concatenate([machine_sound(15), machine_sound(15, seed=1, fault=0.3)])


def fault_and_back() -> FloatArray:
    """The same, then 20 s of healthy sound."""
    return np.concatenate([healthy_then_faulty(), machine_sound(20, seed=2)])


def documents(subscriber: Subscriber, ending: str) -> list[dict[str, Any]]:
    """The JSON payloads of the topics with this ending."""
    return [json.loads(payload) for payload in subscriber.payloads(ending)]


def states(subscriber: Subscriber, machine: str = "m") -> list[str]:
    """The states in order, without repetitions."""
    values: list[str] = []
    for state in documents(subscriber, f"/{machine}/state"):
        if state["state"] not in values[-1:]:
            values.append(state["state"])
    return values


@contextmanager
def notify_socket(watched: Daemon) -> Iterator[socket.socket]:
    """The socket on which systemd would receive the messages of the daemon."""
    path = watched.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        watched.environment |= {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "4000000"}
        yield manager


def notification(manager: socket.socket, word: str, timeout_s: float = 30.0) -> str:
    """The next datagram that contains ``word``."""
    deadline_s = time.monotonic() + timeout_s
    while (left_s := deadline_s - time.monotonic()) > 0:
        manager.settimeout(left_s)
        text = manager.recv(4096).decode()
        if word in text:
            return text
    raise AssertionError(f"{word} was not sent")
