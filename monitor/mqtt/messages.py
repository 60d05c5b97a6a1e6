"""What passes over a connection: messages, the broker's answers, and failures."""

from __future__ import annotations

from dataclasses import dataclass

NO_MATCHING_SUBSCRIBERS = 0x10
_FAILURE = 0x80


class BrokerError(Exception):
    """There is no connection to the broker; the message is one line for people.

    ``refused``: the broker was reached but refuses the credentials, so an early retry
    does not help. ``wrong_protocol``: the broker may support only another MQTT version.
    """

    def __init__(
        self, message: str, *, refused: bool = False, wrong_protocol: bool = False
    ) -> None:
        super().__init__(message)
        self.refused = refused
        self.wrong_protocol = wrong_protocol


@dataclass(frozen=True, slots=True)
class Message:
    """A message to publish, or one that was received."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


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
