"""What passes over a connection: messages, the broker's answers, and failures."""

from __future__ import annotations

from dataclasses import dataclass

NO_MATCHING_SUBSCRIBERS = 0x10
PACKET_TOO_LARGE = 0x95
_FAILURE = 0x80
OUTLIVED_S = 0.05
"""How long a connection outlives an answer before the answer counts.

Some brokers acknowledge a message that they discard, and close the connection at once.
"""


class BrokerError(Exception):
    """There is no connection to the broker; the message is one line for people.

    ``refused``: the broker was reached but refuses the credentials, or demands TLS, so an
    early retry does not help. ``wrong_protocol``: the broker may support only another MQTT version.
    ``closed``: it closed the connection without a reason. ``reason_code``: the reason for
    which it refuses the connection, as in MQTT 5; 0 without one.
    """

    def __init__(
        self,
        message: str,
        *,
        refused: bool = False,
        wrong_protocol: bool = False,
        closed: bool = False,
        reason_code: int = 0,
    ) -> None:
        super().__init__(message)
        self.refused = refused
        self.wrong_protocol = wrong_protocol
        self.closed = closed
        self.reason_code = reason_code


class TopicRefusedError(BrokerError):
    """The broker is connected and refuses a message because of its topic."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message to publish, or one that was received.

    ``smallest``: publish it without the properties of MQTT 5.
    """

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    smallest: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The broker's answer to a QoS 1 message; ``reason_code`` as in MQTT 5, 0 with 3.1.1."""

    mid: int
    reason_code: int
    text: str

    @property
    def accepted(self) -> bool:
        """Whether the broker has taken the message."""
        return self.reason_code < _FAILURE
