"""Home Assistant's side of the discovery messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


class Recorder:
    """A publisher that keeps what it is given instead of sending it."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.republished: list[str] = []
        self.handlers: dict[str, Callable[[str, bytes], None]] = {}

    def publish_retained(self, topic: str, payload: bytes) -> None:
        self.kept[topic] = payload

    def republish(self, prefix: str) -> None:
        self.republished.append(prefix)

    def subscribe(self, topic: str, handler: Callable[[str, bytes], None]) -> None:
        self.handlers[topic] = handler


def devices(recorder: Recorder) -> dict[str, dict[str, Any]]:
    """The announced devices by name."""
    found = [json.loads(payload) for payload in recorder.kept.values() if payload]
    return {document["device"]["name"]: document for document in found}
