"""An ordinary MQTT subscriber for the demo."""

from __future__ import annotations

import json
import queue
import threading
import time
from dataclasses import dataclass
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from monitor.errors import ServiceUnavailableError


@dataclass(frozen=True, slots=True)
class Received:
    """A JSON message and the Unix time at which it arrived."""

    topic: str
    at_unix_s: float
    document: dict[str, Any]


class DemoSubscriber:
    """Subscribes to all topics below ``base_topic`` inside the ``with`` block."""

    def __init__(self, port: int, base_topic: str) -> None:
        self.messages: queue.SimpleQueue[Received] = queue.SimpleQueue()
        self._port = port
        self._filter = f"{base_topic}/#"
        self._subscribed = threading.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
        client.on_connect = lambda client, *_: client.subscribe(self._filter, qos=1)
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._on_message
        self._client = client

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        if not self._subscribed.wait(10):
            raise ServiceUnavailableError("the demo's subscriber could not subscribe")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: object, _userdata: object, message: paho.MQTTMessage) -> None:
        if message.payload.startswith(b"{"):
            document = json.loads(message.payload)
            self.messages.put(Received(message.topic, time.time(), document))
