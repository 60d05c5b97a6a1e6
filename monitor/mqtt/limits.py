"""What a broker accepts: what it announces (MQTT 5), and what its reactions show (any version)."""

from __future__ import annotations

import time
from dataclasses import dataclass

from paho.mqtt.properties import Properties

SHORT_PACKET_BYTES = 300
"""The short form of an alert fits this size, unless base topic and machine id are long."""

_REMEMBERED_S = 3600.0
_NOTED_BELOW_BYTES = 4096


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """The limits of one connection.

    ``max_packet_bytes``: size of the largest packet, ``None`` without a limit.
    ``will_refusal``: why the broker refused the last will; it then has a lesser one or none.
    """

    max_in_flight: int = 65_535
    can_retain: bool = True
    max_qos: int = 1
    max_packet_bytes: int | None = None
    will_refusal: str = ""

    @classmethod
    def announced(cls, properties: Properties | None) -> BrokerLimits:
        """The limits in the broker's CONNACK; MQTT 3.1.1 announces none."""
        return cls(
            max_in_flight=max(1, getattr(properties, "ReceiveMaximum", 65_535)),
            can_retain=bool(getattr(properties, "RetainAvailable", 1)),
            max_qos=min(1, getattr(properties, "MaximumQoS", 1)),
            max_packet_bytes=getattr(properties, "MaximumPacketSize", None),
        )

    def describe(self) -> str:
        """The limits that change what subscribers receive, in one line; empty without any."""
        found = []
        if not self.can_retain:
            found.append("no retained messages")
        if self.max_qos < 1:
            found.append("only QoS 0, so the broker may lose an alert that it has received")
        size_bytes = self.max_packet_bytes
        if size_bytes is not None and size_bytes < _NOTED_BELOW_BYTES:
            found.append(f"no message above {size_bytes} bytes")
        limits = f"the broker accepts {', '.join(found)}" if found else ""
        refusal = f"it refused the last will: {self.will_refusal}" if self.will_refusal else ""
        return "; ".join(filter(None, (limits, refusal)))


def publish_bytes(topic: str, payload: bytes, *, qos: int, properties_bytes: int | None) -> int:
    """The size of a PUBLISH packet. Source: MQTT 5, sections 2.1 and 3.3.

    ``properties_bytes``: the size of the properties without their length, which takes
    one byte; ``None`` with MQTT 3.1.1, which has none.
    """
    body = 2 + len(topic.encode()) + (2 if qos else 0) + len(payload)
    if properties_bytes is not None:
        body += 1 + properties_bytes
    length_bytes = 1
    while body >= 128**length_bytes:
        length_bytes += 1
    return 1 + length_bytes + body


class LearnedPacketLimit:
    """The packet size that a broker does not announce but refuses. Used by one thread.

    Some brokers close the connection when a message is too large for them. Such a limit
    is forgotten after an hour, because the broker may have another configuration by then.
    """

    def __init__(self) -> None:
        self._refused_bytes: int | None = None
        self._until_s = 0.0
        self._closed_once: dict[str, int] = {}
        self._suspected: dict[str, int] = {}

    def suspect(self, topic: str, size_bytes: int) -> None:
        """The broker closed the connection after a message of this size on ``topic``.

        It is suspected of being too large when this happened twice: the broker may also
        have been stopped.
        """
        if self._closed_once.pop(topic, None) == size_bytes:
            self._suspected[topic] = size_bytes
        else:
            self._closed_once[topic] = size_bytes

    def refuse(self, size_bytes: int) -> None:
        """The broker does not accept messages of this size."""
        known = self._current()
        self._refused_bytes = size_bytes if known is None else min(known, size_bytes)
        self._until_s = time.monotonic() + _REMEMBERED_S

    def accepted(self, topic: str, size_bytes: int) -> None:
        """The broker accepted a message: a larger one on the same topic was too large."""
        self._closed_once.pop(topic, None)
        suspected_bytes = self._suspected.pop(topic, None)
        if suspected_bytes is not None and size_bytes < suspected_bytes:
            self.refuse(suspected_bytes)

    def forget_suspicion(self, topic: str) -> None:
        """A small message on ``topic`` is refused too, so size was not the reason."""
        self._suspected.pop(topic, None)

    def allows(self, topic: str, size_bytes: int) -> bool:
        """Whether a message of this size may be sent on ``topic``."""
        refused = [self._current(), self._suspected.get(topic)]
        return all(known is None or size_bytes < known for known in refused)

    def _current(self) -> int | None:
        return self._refused_bytes if time.monotonic() < self._until_s else None
