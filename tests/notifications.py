"""A real `auscult notify`, a history for it, and the services that it sends to."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Literal

from monitor.clock import rfc3339
from monitor.history.records import Event
from monitor.history.store import HistoryStore
from monitor.uuid7 import uuid7
from tests.daemons import ROOT, toml
from tests.waiting import wait_for

Mode = Literal["ok", "fail", "hang", "drop"]


class Hook:
    """An HTTP server that keeps the messages of ``json://``, or fails, hangs or hangs up."""

    def __init__(self) -> None:
        self.mode: Mode = "ok"
        self.received: list[dict[str, Any]] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        """Path and headers of every request, also of those that failed."""
        self._released = threading.Event()
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.requests.append((self.path, dict(self.headers)))
                content = self.rfile.read(int(self.headers["Content-Length"]))
                if hook.mode == "hang":
                    # A byte from time to time: no limit of a single step ends this.
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                    with suppress(OSError):
                        while not hook._released.wait(0.2):
                            self.wfile.write(b"X-Wait: a\r\n")
                    return
                if hook.mode == "drop":
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if hook.mode == "ok":
                    hook.received.append(json.loads(content))
                self.send_response(200 if hook.mode == "ok" else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """The address for a target."""
        return f"json://127.0.0.1:{self.port}/hook"

    @property
    def titles(self) -> list[str]:
        """Of the messages that arrived."""
        return [one["title"] for one in self.received]

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()


class MailServer:
    """An SMTP server that accepts every mail, and any password."""

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self._answer("220 sink")
                while line := self.rfile.readline():
                    word = line.split()[0].upper() if line.split() else b""
                    if word == b"EHLO":
                        self._answer("250-sink\r\n250-AUTH PLAIN\r\n250 8BITMIME")
                    elif word == b"DATA":
                        self._answer("354 go on")
                        server.received.append(self._mail())
                        self._answer("250 accepted")
                    elif word == b"AUTH":
                        self._answer("235 welcome")
                    elif word == b"QUIT":
                        self._answer("221 bye")
                        return
                    else:
                        self._answer("250 ok")

            def _mail(self) -> EmailMessage:
                lines = []
                while (line := self.rfile.readline()) not in {b".\r\n", b""}:
                    lines.append(line.removeprefix(b"."))
                found = message_from_bytes(b"".join(lines), policy=policy.default)
                assert isinstance(found, EmailMessage)
                return found

            def _answer(self, text: str) -> None:
                self.wfile.write(text.encode() + b"\r\n")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """The address for a target."""
        return (
            f"mailto://anna:open-sesame@127.0.0.1:{self.port}"
            "?from=auscult@example.org&to=anna@example.org&mode=insecure"
        )

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class WrittenAlert:
    """One alert in the history."""

    machine: str
    alert_id: str = field(default_factory=lambda: str(uuid7()))
    has_ended: bool = False


class WrittenHistory:
    """A history as the daemon writes it."""

    def __init__(self, state: Path) -> None:
        self._store = HistoryStore(state / "history.sqlite3")
        self._sequences: dict[str, int] = {}
        self._n_messages = 0
        self.alerts: list[WrittenAlert] = []
        self.at_minute: dict[str, WrittenAlert] = {}
        """The alert of each time of the day in the messages; no two have the same."""

    def raised(self, machine: str, **payload: Any) -> WrittenAlert:
        alert = WrittenAlert(machine)
        self.alerts.append(alert)
        self.message("raised", alert, **payload)
        return alert

    def message(self, kind: str, alert: WrittenAlert, **payload: Any) -> None:
        """A message of an alert, a minute after the one before, beginning ten hours ago."""
        now_s = time.time() - 36_000.0 + 60.0 * self._n_messages
        self._n_messages += 1
        self.at_minute[rfc3339(now_s)[11:16]] = alert
        sequence = self._sequences[alert.machine] = self._sequences.get(alert.machine, 0) + 1
        alert.has_ended = kind == "cleared"
        body = {
            "kind": kind,
            "alert_id": alert.alert_id,
            "at": rfc3339(now_s),
            "started_at": rfc3339(now_s),
            "sequence": sequence,
            "score": 25.0,
            "peak_score": 30.0,
            "threshold": 10.0,
            "bands_hz": [[1800.0, 2100.0]],
            "severity": "alarm",
            **payload,
        }
        self.write(kind, alert.machine, alert_id=alert.alert_id, payload=body)

    def write(self, kind: str, machine: str, **values: Any) -> None:
        """Any event."""
        now_s = time.time()
        event = Event(
            at=rfc3339(now_s),
            at_unix_s=now_s,
            machine=machine,
            kind=kind,
            event_id=str(uuid7()),
            **values,
        )
        self._store.write({}, [event], durable=False)

    def close(self) -> None:
        self._store.close()


class Notify:
    """`auscult notify` on a configuration in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.config = folder / "config.toml"
        self.log = folder / "notify.log"
        self.environment: dict[str, str] = {}
        self._tables: list[str] = []
        self._rest = ""
        self._process: subprocess.Popen[bytes] | None = None

    def target(self, name: str, url: str, **settings: Any) -> None:
        """Add a target to the next ``write``."""
        (self.folder / f"{name}.url").write_text(url + "\n")
        fast = {"retry_min_s": 0.05, "retry_max_s": 0.2, "timeout_s": 10.0}
        table = {"name": name, "url_file": f"{name}.url", **fast, **settings}
        self._tables.append("[[notify]]\n" + toml(table))

    def forget_targets(self) -> None:
        """Remove all targets."""
        self._tables.clear()

    def other(self, text: str) -> None:
        """More text for the next ``write``."""
        self._rest = text

    def write(self) -> None:
        """Write ``config.toml``."""
        machines = "".join(
            f'[[machine]]\nid = "{name}"\nbundle = "b"\n[machine.source]\nkind = "simulated"\n'
            for name in ("pump-7", "fan-2", "press-1")
        )
        self.config.write_text("\n".join([self._rest, machines, *self._tables]))

    def start(self, *, wait: bool = True) -> None:
        """Write the configuration and start."""
        self.write()
        n_ready = self.events("ready: ")
        self._process = subprocess.Popen(
            [*self.command(), "--log-format", "json"],
            cwd=ROOT,
            env=os.environ | {"TZ": "UTC"} | self.environment,
            stderr=self.log.open("ab"),
            stdout=subprocess.DEVNULL,
        )
        if wait:
            wait_for(lambda: len(self.events("ready: ")) > len(n_ready), what=self._text())

    def command(self) -> list[str]:
        return [sys.executable, "-m", "monitor", "notify", "--config", str(self.config)]

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)

    def events(self, text: str = "") -> list[str]:
        """The messages of the log that contain a text; not those of the command line."""
        lines = [json.loads(line) for line in self._text().splitlines() if line[:1] == "{"]
        return [line["message"] for line in lines if text in line["message"]]

    def wait_for_log(self, text: str) -> None:
        wait_for(lambda: self.events(text), what=f"{text!r} in the log")

    def _text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.end(signal.SIGKILL)


@contextmanager
def notify_in(folder: Path) -> Iterator[Notify]:
    """A process that is ended at the end. It is not started yet."""
    one = Notify(folder)
    try:
        yield one
    finally:
        one.close()
