"""A broker that sends arbitrary packets, including birth messages."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

from benchmarks.fuzz.edits import edited
from monitor.errors import ServiceUnavailableError
from monitor.mqtt.connection import MQTT_5, MqttConnection
from monitor.mqtt.home_assistant import Discovery
from monitor.mqtt.messages import BrokerError, Message
from monitor.mqtt.settings import MqttSettings

BIRTH_TOPIC = "homeassistant/status"
_CONNACK = bytes.fromhex("2006000003210014")
_SUBACK = bytes.fromhex("900400010000")
_PUBACK = bytes.fromhex("4004000210 00".replace(" ", ""))
_OTHERS = (b"\xd0\x00", b"\xe0\x02\x8e\x00", b"\xf0\x02\x00\x00", b"\x40\x02\x00\x02")


def publish(payload: bytes, topic: str = BIRTH_TOPIC) -> bytes:
    """A PUBLISH packet of MQTT 5 at QoS 0."""
    name = topic.encode()
    body = len(name).to_bytes(2, "big") + name + b"\0" + payload
    length, size = b"", len(body)
    while True:
        length += bytes([size % 128 | (128 if size > 127 else 0)])
        size //= 128
        if not size:
            return b"\x30" + length + body


def streams() -> st.SearchStrategy[bytes]:
    """Changed packets of a broker."""
    good = _CONNACK + _SUBACK + _PUBACK + publish(b"online") + b"".join(_OTHERS)
    flood = _CONNACK + publish(b"online") * 300
    strange = _CONNACK + publish(b"\xff\xfe") + publish(b"", "x") + publish(b"x" * 70_000)
    return st.one_of(
        edited([good, flood, strange, _CONNACK + publish(b"online")]),
        st.binary(max_size=60).map(lambda rest: _CONNACK + rest),
        st.binary(max_size=200).map(lambda payload: _CONNACK + publish(payload)),
    )


class _Announcer:
    """The part of the publisher that discovery uses."""

    def __init__(self) -> None:
        self.handler: Callable[[str, bytes], None] = lambda _topic, _payload: None
        self.republished = 0

    def publish_retained(self, _topic: str, _payload: bytes) -> None:
        """Do nothing."""

    def republish(self, _prefix: str) -> None:
        """Count the answers: one for a burst of birth messages."""
        self.republished += 1

    def subscribe(self, _topic: str, handler: Callable[[str, bytes], None]) -> None:
        """Keep the function to call."""
        self.handler = handler


def target(content: bytes, _folder: Path) -> None:
    """The connection ends normally or continues; discovery answers with a limit."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        broker = threading.Thread(target=_serve, args=(server, content), daemon=True)
        broker.start()
        settings = MqttSettings(
            host="127.0.0.1", port=server.getsockname()[1], connect_timeout_s=1.0, base_topic="a/b"
        )
        announcer = _Announcer()
        Discovery(settings, announcer, "0").announce(["m"])
        try:
            _converse(MqttConnection.open(settings, MQTT_5), announcer)
        except BrokerError as error:
            raise ServiceUnavailableError(str(error)) from error
        finally:
            broker.join(5.0)
            if announcer.republished > 1:
                raise ValueError("birth messages in a burst were each answered")


def _converse(connection: MqttConnection, announcer: _Announcer) -> None:
    """Receive like the publisher, until the connection is lost."""
    try:
        connection.subscribe(BIRTH_TOPIC)
        connection.send(Message("a/b/status", b"online", retain=True))
        while True:
            connection.poll(0.2)
            connection.take_acknowledgements()
            for message in connection.take_incoming():
                announcer.handler(message.topic, message.payload)
    finally:
        connection.close(orderly=False)


def _serve(server: socket.socket, content: bytes) -> None:
    """Accept, read the CONNECT packet, and send the input in pieces of different sizes."""
    with contextlib.suppress(OSError):
        sock, _ = server.accept()
        with sock:
            sock.settimeout(2.0)
            sock.recv(4096)
            cut = len(content) * 2 // 3
            sock.sendall(content[:cut])
            sock.sendall(content[cut:])
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
