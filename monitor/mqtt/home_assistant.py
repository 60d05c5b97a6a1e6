"""Announces the machines to Home Assistant, and withdraws them: the discovery messages."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from typing import Protocol

from monitor.mqtt.home_assistant_devices import Devices
from monitor.mqtt.home_assistant_names import config_topic
from monitor.mqtt.payloads import encode
from monitor.mqtt.settings import MqttSettings
from monitor.mqtt.topics import ONLINE

_BIRTH_PAUSE_S = 5.0


class Announcer(Protocol):
    """The part of a publisher that discovery uses."""

    def publish_retained(self, topic: str, payload: bytes) -> None: ...
    def republish(self, prefix: str) -> None: ...
    def subscribe(self, topic: str, handler: Callable[[str, bytes], None]) -> None: ...


class Discovery:
    """Announces the machines of one daemon. Create it before the publisher is started."""

    def __init__(self, settings: MqttSettings, announcer: Announcer, version: str) -> None:
        self._settings = settings
        self._announcer = announcer
        self._devices = Devices(settings, version)
        self._announced: set[str] = set()
        self._born_s = -math.inf
        announcer.subscribe(f"{settings.discovery_prefix}/status", self._on_birth)

    def announce(self, machines: Collection[str]) -> None:
        """Announce exactly these machines of this daemon."""
        wanted = {self._topic(name): self._devices.machine(name) for name in machines}
        wanted[self._topic("")] = self._devices.daemon()
        for topic, device in wanted.items():
            self._announcer.publish_retained(topic, encode(device))
        for topic in self._announced - set(wanted):
            self._announcer.publish_retained(topic, b"")
        self._announced = set(wanted)

    def withdraw(self, machine: str) -> None:
        """Remove this machine from Home Assistant, also if an earlier process announced it."""
        topic = self._topic(machine)
        self._announcer.publish_retained(topic, b"")
        self._announced.discard(topic)

    def _on_birth(self, _topic: str, payload: bytes) -> None:
        """Announce again when Home Assistant has started; ignore all other messages."""
        now_s = time.monotonic()
        if payload == ONLINE.encode() and now_s - self._born_s > _BIRTH_PAUSE_S:
            self._born_s = now_s
            self._announcer.republish(f"{self._settings.discovery_prefix}/device/")

    def _topic(self, machine: str) -> str:
        return config_topic(self._settings, machine)
