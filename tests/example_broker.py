"""The broker with the settings of deploy/mosquitto, and clients of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.mosquitto import free_port
from tests.waiting import wait_for

SETTINGS = Path(__file__).resolve().parent.parent / "deploy" / "mosquitto"
PASSWORDS = {"hall-2": "node", "operator": "person"}


@dataclass(frozen=True, slots=True)
class ExampleBroker:
    """A running broker on localhost with TLS."""

    port: int
    ca: Path


@contextmanager
def example_broker(folder: Path) -> Iterator[ExampleBroker]:
    """mosquitto with deploy/mosquitto; only the folder and the port are different.

    Skips the calling test if mosquitto is not installed.
    """
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed")
    script = SETTINGS / "make-certificates.sh"
    subprocess.run([script, folder, "localhost"], check=True, capture_output=True)
    shutil.copy(SETTINGS / "acl", folder)
    (folder / "acl").chmod(0o600)
    passwords = folder / "passwords"
    lines = [f"{name}:{password}\n" for name, password in PASSWORDS.items()]
    passwords.write_text("".join(lines), encoding="utf-8")
    subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
    port = free_port()
    text = (SETTINGS / "auscult.conf").read_text(encoding="utf-8")
    text = text.replace("/etc/mosquitto/auscult", str(folder))
    text = text.replace("listener 8883", f"listener {port} localhost")
    (folder / "mosquitto.conf").write_text(text + "user root\n", encoding="utf-8")
    log = folder / "log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [program, "-c", folder / "mosquitto.conf"], stdout=out, stderr=out
        ) as process,
    ):
        try:
            wait_for(lambda: b"running" in log.read_bytes() or process.poll() is not None)
            assert process.poll() is None, log.read_text(encoding="utf-8")
            yield ExampleBroker(port, folder / "ca.crt")
        finally:
            process.terminate()


class Client:
    """A client that records what it receives. ``connected``: whether the broker accepted it."""

    def __init__(self, broker: ExampleBroker, username: str | None, password: str | None) -> None:
        self.connected: bool | None = None
        self.received: list[tuple[str, bytes]] = []
        self._subscribed = 0
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.tls_set(str(broker.ca))
        if username:
            self._client.username_pw_set(username, password)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = lambda _c, _u, m: self.received.append(
            (m.topic, bytes(m.payload))
        )
        self._client.connect("localhost", broker.port)
        self._client.loop_start()
        wait_for(lambda: self.connected is not None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, *arguments: object) -> None:
        reason = arguments[3]
        assert hasattr(reason, "is_failure")
        self.connected = not reason.is_failure

    def _on_subscribe(self, *_: object) -> None:
        self._subscribed += 1

    def subscribe(self, topic: str) -> None:
        """Subscribe, and wait for the broker's answer.

        What the broker sent to this client before the answer is then in ``received``.
        """
        before = self._subscribed
        self._client.subscribe(topic, qos=1)
        wait_for(lambda: self._subscribed > before)

    def publish(self, topic: str, payload: bytes = b"payload") -> None:
        """Publish with QoS 1, and wait for the broker's answer."""
        self._client.publish(topic, payload, qos=1).wait_for_publish(5)
