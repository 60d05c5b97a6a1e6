"""One connection to a broker, used by the one thread that opened it.

The paho client implements the protocol. Each client is used for one connection only, so that it
never sends an old message from a queue of its own. All its work happens inside ``poll``.
``_connect`` sets the last will.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from monitor.mqtt.broker_answers import MAX_INCOMING_BYTES, BrokerAnswers
from monitor.mqtt.connect_failures import connect_failure
from monitor.mqtt.limits import BrokerLimits, publish_bytes
from monitor.mqtt.messages import Acknowledgement, BrokerError, Message
from monitor.mqtt.settings import MqttSettings
from monitor.mqtt.tls import tls_context

MQTT_5 = MQTTProtocolVersion.MQTTv5
MQTT_311 = MQTTProtocolVersion.MQTTv311

_NEVER_SUBSCRIBED = "auscult/received"
"""A topic to unsubscribe from, only to get the broker's answer."""
_OPTIONAL_PROPERTIES_BYTES = 21
"""The size of ``_JSON`` in a packet: two bytes, and three before the content type."""


def _json_properties() -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
    properties.PayloadFormatIndicator = 1
    properties.ContentType = "application/json"
    return properties


_JSON = _json_properties()


class MqttConnection:
    """An accepted connection, made by ``open``. Every later failure is a ``BrokerError``."""

    def __init__(self, settings: MqttSettings, protocol: MQTTProtocolVersion) -> None:
        self.protocol = protocol
        self.limits = BrokerLimits()
        self.where = f"broker {settings.host}:{settings.port}"
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.effective_client_id,
            protocol=protocol,
            reconnect_on_failure=False,
        )
        self._client.max_inflight_messages_set(0)
        self._answers = BrokerAnswers(self._client, self.where)
        self._filters: dict[int, str] = {}
        """The subscriptions, by message id."""

    @classmethod
    def open(
        cls,
        settings: MqttSettings,
        protocol: MQTTProtocolVersion,
        last_will: Message | None = None,
        give_up: Callable[[], bool] = lambda: False,
    ) -> Self:
        """Connect and wait until the broker accepts, at most about twice ``connect_timeout_s``.

        The waiting also ends when ``give_up`` returns true. Raises ``BrokerError``, and
        ``ConfigError`` for a password or certificate file that cannot be read.
        """
        connection = cls(settings, protocol)
        try:
            connection._connect(settings, last_will)
            connection._await_answer(settings.connect_timeout_s, give_up)
        except BaseException:
            connection.close(orderly=False)
            raise
        return connection

    @property
    def is_311(self) -> bool:
        """Whether the protocol is MQTT 3.1.1."""
        return self.protocol == MQTT_311

    @property
    def protocol_name(self) -> str:
        """``MQTT 5`` or ``MQTT 3.1.1``."""
        return "MQTT 3.1.1" if self.is_311 else "MQTT 5"

    def send(self, message: Message, *, is_answered: bool = False) -> int:
        """Send a message; the message id that the acknowledgement of a QoS 1 message carries.

        If the broker accepts only QoS 0, it acknowledges no message. A request that it
        has to answer is then sent after the message: its answer shows that the broker
        has read the message too. ``is_answered``: so is a message of QoS 0.
        """
        properties = None
        if self.protocol == MQTT_5 and not message.smallest and message.payload.startswith(b"{"):
            size_bytes = self.packet_bytes(message) + _OPTIONAL_PROPERTIES_BYTES
            if self._limit_bytes() > size_bytes:  # the length may take one more byte
                properties = _JSON
        info = self._client.publish(
            message.topic,
            message.payload,
            min(message.qos, self.limits.max_qos),
            message.retain and self.limits.can_retain,
            properties,
        )
        rc, mid = info.rc, info.mid
        if not rc and (is_answered or message.qos > self.limits.max_qos):
            rc, unsubscribed_mid = self._client.unsubscribe(_NEVER_SUBSCRIBED)
            mid = unsubscribed_mid or 0
        if rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._answers.trouble or BrokerError(f"{self.where}: {paho.error_string(rc)}")
        return mid

    def packet_bytes(self, message: Message) -> int:
        """The size of the smallest packet with this message."""
        return publish_bytes(
            message.topic,
            message.payload,
            qos=min(message.qos, self.limits.max_qos),
            properties_bytes=0 if self.protocol == MQTT_5 else None,
        )

    def fits(self, message: Message) -> bool:
        """Whether the message is within the packet size that the broker announced."""
        return self.packet_bytes(message) <= self._limit_bytes()

    def _limit_bytes(self) -> float:
        limit_bytes = self.limits.max_packet_bytes
        return float("inf") if limit_bytes is None else limit_bytes

    def subscribe(self, topic_filter: str) -> None:
        """Subscribe with QoS 0; see ``take_refused_filters`` for a refusal by the broker."""
        _, mid = self._client.subscribe(topic_filter, qos=0)
        if mid is not None:
            self._filters[mid] = topic_filter

    def take_refused_filters(self) -> list[tuple[str, str]]:
        """The filters that the broker has refused since the last call, each with a sentence."""
        found = []
        for mid, reason in self._answers.take_refused_subscriptions():
            name = self._filters.get(mid, "")
            why = f"{self.where}: does not allow to read {name}: {reason}"
            found.append((name, f"{why}; check the broker's access list"))
        return found

    def unsubscribe(self, topic_filter: str) -> None:
        """Receive no more messages of this topic."""
        self._client.unsubscribe(topic_filter)

    def poll(self, timeout_s: float, wake: socket.socket | None = None) -> None:
        """Send and receive until something happened, ``wake`` is readable or the time is over."""
        sock = self._client.socket()
        if self._answers.trouble is not None or sock is None:
            raise self._answers.trouble or BrokerError(f"{self.where}: connection lost")
        # Bytes that TLS has already decrypted do not make the socket readable.
        buffered = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        poller = select.poll()
        poller.register(sock, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        if wake is not None:
            poller.register(wake, select.POLLIN)
        ready = dict(poller.poll(0 if buffered else max(0.0, timeout_s) * 1000))
        events = ready.get(sock.fileno(), 0)
        rc = MQTTErrorCode.MQTT_ERR_SUCCESS
        try:
            if buffered or events & ~select.POLLOUT:
                rc = self._client.loop_read()
            if not rc and events & select.POLLOUT:
                rc = self._client.loop_write()
            rc = rc or self._client.loop_misc()
        except Exception as error:  # paho raises errors of any kind for bytes that are not MQTT
            raise BrokerError(f"{self.where}: its answer is not MQTT: {error!r}") from error
        if self._answers.trouble is not None:
            raise self._answers.trouble
        if rc:
            raise BrokerError(f"{self.where}: {paho.error_string(rc)}")

    def take_acknowledgements(self) -> list[Acknowledgement]:
        """The broker's answers since the last call."""
        return self._answers.take_acknowledgements()

    def take_incoming(self) -> list[Message]:
        """The messages received since the last call, at most 100; more are discarded."""
        return self._answers.take_incoming()

    def close(self, *, orderly: bool) -> None:
        """Close the connection. Not ``orderly``: the broker then publishes the last will."""
        sock = self._client.socket()
        if orderly:
            with contextlib.suppress(OSError, ValueError):
                self._client.disconnect()
                deadline_s = time.monotonic() + 0.2
                while self._client.want_write() and time.monotonic() < deadline_s:
                    self._client.loop_write()
        # paho has no function that closes a connection without a DISCONNECT.
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.close()

    def _connect(self, settings: MqttSettings, last_will: Message | None) -> None:
        client = self._client
        client.connect_timeout = settings.connect_timeout_s
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.read_password())
        context = tls_context(settings)
        if context is not None:
            client.tls_set_context(context)
        if last_will is not None:
            client.will_set(last_will.topic, last_will.payload, last_will.qos, last_will.retain)
        extra: dict[str, Any] = {}
        if self.protocol == MQTT_5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
            properties.MaximumPacketSize = MAX_INCOMING_BYTES
            extra = {"clean_start": True, "properties": properties}
        try:
            client.connect(settings.host, settings.port, settings.keepalive_s, **extra)
        except (OSError, ValueError) as error:  # UnicodeError of an odd host name is a ValueError
            raise BrokerError(f"{self.where}: {connect_failure(error, settings)}") from error

    def _await_answer(self, timeout_s: float, give_up: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not self._answers.accepted:
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0 or give_up():
                # Some brokers neither answer nor close when they do not know a protocol.
                raise BrokerError(
                    f"{self.where}: accepts connections but does not answer", wrong_protocol=True
                )
            try:
                self.poll(min(remaining_s, 0.2))
            except BrokerError as error:
                if error.reason_code:
                    raise
                raise BrokerError(str(error), wrong_protocol=True, closed=error.closed) from error
        self.limits = self._answers.limits
