"""A real mosquitto for a test, which can be stopped, killed and paused."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from monitor.mqtt.settings import MqttSettings
from tests.waiting import wait_for

BELOW_EPHEMERAL = range(20_000, 32_768)


def free_port() -> int:
    """A free port that the kernel does not give to outgoing connections.

    It therefore stays free while the server on it restarts.
    """
    for port in random.SystemRandom().sample(BELOW_EPHEMERAL, 100):
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


@dataclass(frozen=True)
class Certificates:
    """PEM files: a CA, the broker's certificate for localhost and a client's."""

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Made by openssl, valid for a day."""
        folder.mkdir(parents=True, exist_ok=True)

        def openssl(*arguments: object) -> None:
            subprocess.run(
                ["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=folder
            )

        new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.crt", "-days", 1,
                "-subj", "/CN=test CA", "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
        (folder / "names").write_text("subjectAltName=DNS:localhost\n")
        for name, subject in (("server", "/CN=localhost"), ("client", "/CN=auscult")):
            openssl("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr",
                    "-subj", subject)  # fmt: skip
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                    "-CAcreateserial", "-days", 1, "-out", f"{name}.crt",
                    "-extfile", "names")  # fmt: skip
        names = ("ca.crt", "server.crt", "server.key", "client.crt", "client.key")
        return cls(*(folder / name for name in names))


class Mosquitto:
    """The broker, inside a ``with`` block.

    ``users``: name to password, otherwise anonymous. ``acl``: the text of its access
    list. ``certificates``: TLS; with ``client_certificates`` it demands one.
    """

    def __init__(
        self,
        folder: Path,
        *,
        users: dict[str, str] | None = None,
        acl: str | None = None,
        certificates: Certificates | None = None,
        client_certificates: bool = False,
        extra: str = "",
        port: int | None = None,
    ) -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if program is None:
            pytest.skip("mosquitto is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        self._program = program
        self.port = port or free_port()
        self.host = "localhost" if certificates else "127.0.0.1"
        self.log = folder / "mosquitto.log"
        self._config = folder / "mosquitto.conf"
        self._process: subprocess.Popen[bytes] | None = None
        lines = [
            f"listener {self.port} {self.host}",
            "persistence true",
            f"persistence_location {folder}/",
            "autosave_interval 1",
            "autosave_on_changes true",
            "max_queued_messages 0",
            f"allow_anonymous {'false' if users else 'true'}",
            f"log_dest file {self.log}",
            extra,
        ]
        if os.geteuid() == 0:
            lines.append("user root")
        if users:
            passwords = folder / "passwords"
            passwords.write_text("".join(f"{name}:{word}\n" for name, word in users.items()))
            subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
            lines.append(f"password_file {passwords}")
        if acl is not None:
            (folder / "acl").write_text(acl)
            (folder / "acl").chmod(0o600)
            lines.append(f"acl_file {folder / 'acl'}")
        if certificates:
            lines += [
                f"cafile {certificates.ca}",
                f"certfile {certificates.server_cert}",
                f"keyfile {certificates.server_key}",
                f"require_certificate {str(client_certificates).lower()}",
            ]
        self._config.write_text("\n".join(lines) + "\n")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.resume()
        self.kill()

    def settings(self, **fields: Any) -> MqttSettings:
        """Settings for this broker, with short times for reconnection."""
        quick = {"reconnect_min_s": 0.05, "reconnect_max_s": 0.3, "connect_timeout_s": 2.0}
        address = {"host": self.host, "port": self.port, "base_topic": "auscult/test"}
        return MqttSettings.model_validate(quick | address | fields)

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        """Its process, while it runs."""
        assert self._process is not None, "mosquitto is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen(
            [self._program, "-c", self._config],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._listens)

    def stop(self) -> None:
        """Stop it normally: sessions and retained messages are saved."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: connections stay open without an answer, as after a network failure."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """The end of ``pause``."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)

    def _end(self, number: int) -> None:
        if self._process:
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), 1):
            return True
        if self._process is not None:
            assert self._process.poll() is None, self.log.read_text() if self.log.exists() else "?"
        return False


@dataclass(frozen=True)
class Received:
    """A message that a subscriber received."""

    topic: str
    payload: bytes
    retain: bool
    qos: int


class Subscriber:
    """An ordinary subscriber, whose session continues after a lost connection."""

    def __init__(
        self,
        broker: Mosquitto,
        topic_filter: str = "#",
        *,
        username: str | None = None,
        password: str | None = None,
        ca: Path | None = None,
        client_id: str = "test-subscriber",
    ) -> None:
        self._guard = threading.Lock()
        self._messages: list[Received] = []
        self._ready = threading.Event()
        self._filter = topic_filter
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5
        )
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: self._ready.set()
        client.on_message = self._on_message
        client.reconnect_delay_set(1, 1)
        if username:
            client.username_pw_set(username, password)
        if ca:
            client.tls_set(str(ca))
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
        properties.SessionExpiryInterval = 3600
        client.connect(broker.host, broker.port, 60, clean_start=False, properties=properties)
        self._client = client

    def __enter__(self) -> Self:
        self._client.loop_start()
        assert self._ready.wait(10), "the subscriber could not subscribe"
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> None:
        """Publish a message."""
        self._client.publish(topic, payload, qos=qos).wait_for_publish(5)

    def messages(self, ending: str = "") -> list[Received]:
        """The messages received so far on topics with this ending, in order."""
        with self._guard:
            return [one for one in self._messages if one.topic.endswith(ending)]

    def payloads(self, ending: str) -> list[bytes]:
        """The payloads of these messages."""
        return [one.payload for one in self.messages(ending)]

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        client.subscribe(self._filter, qos=1)

    def _on_message(self, _client: object, _userdata: object, message: paho.MQTTMessage) -> None:
        received = Received(message.topic, bytes(message.payload), message.retain, message.qos)
        with self._guard:
            self._messages.append(received)


def denying(folder: Path, topic: str) -> Mosquitto:
    """A broker whose user ``auscult``, with the password ``right``, may use all topics but one."""
    acl = f"user auscult\ntopic deny {topic}\ntopic readwrite #\n"
    return Mosquitto(folder, users={"auscult": "right"}, acl=acl)


@contextlib.contextmanager
def retained(broker: Mosquitto) -> Iterator[dict[str, bytes]]:
    """The retained messages by topic."""
    name = f"newcomer-{time.monotonic_ns()}"
    with Subscriber(broker, client_id=name) as newcomer:
        newcomer.publish(name, b"")  # the broker sends it after all retained messages
        wait_for(lambda: newcomer.messages(name))
        yield {one.topic: one.payload for one in newcomer.messages() if one.retain}
