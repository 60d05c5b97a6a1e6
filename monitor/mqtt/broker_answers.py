"""What a broker sends on one connection, as the paho client reports it."""

from __future__ import annotations

from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import LogLevel
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from monitor.mqtt.connect_failures import refused_by_tls
from monitor.mqtt.limits import BrokerLimits
from monitor.mqtt.messages import Acknowledgement, BrokerError, Message

MAX_INCOMING_BYTES = 64 * 1024
_MAX_HELD_MESSAGES = 100
_UNSUPPORTED_PROTOCOL = 0x84
_CREDENTIALS = {0x86, 0x87, 0x8A}
_SESSION_TAKEN_OVER = 0x8E


class BrokerAnswers:
    """The callbacks of a client. paho calls them from within the functions of the client.

    ``where``: the broker, for messages. ``accepted``: whether it accepts the connection.
    ``limits``: those that it announces. ``trouble``: why the connection is refused or lost.
    """

    def __init__(self, client: paho.Client, where: str) -> None:
        self.accepted = False
        self.limits = BrokerLimits()
        self.trouble: BrokerError | None = None
        self._where = where
        self._acknowledgements: list[Acknowledgement] = []
        self._incoming: list[Message] = []
        self._refused_subscriptions: list[tuple[int, str]] = []
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_message = self._on_message
        client.on_log = self._on_log
        self._refusal = ""
        """Why TLS refuses this client, before the broker answers."""

    def take_acknowledgements(self) -> list[Acknowledgement]:
        """The acknowledgements since the last call."""
        taken, self._acknowledgements = self._acknowledgements, []
        return taken

    def take_incoming(self) -> list[Message]:
        """The messages received since the last call, at most 100; more are discarded."""
        taken, self._incoming = self._incoming, []
        return taken

    def take_refused_subscriptions(self) -> list[tuple[int, str]]:
        """The message ids of subscriptions that the broker refused since the last call, and why."""
        taken, self._refused_subscriptions = self._refused_subscriptions, []
        return taken

    def _on_connect(
        self,
        client: paho.Client,
        _userdata: object,
        _flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason_code.is_failure:
            hint = ""
            if reason_code.value in _CREDENTIALS:
                hint = "; check mqtt.username, the password and the broker's access list"
            self.trouble = BrokerError(
                f"{self._where}: refuses the connection: {reason_code}{hint}",
                refused=reason_code.value in _CREDENTIALS,
                wrong_protocol=reason_code.value == _UNSUPPORTED_PROTOCOL,
                reason_code=reason_code.value,
            )
            return
        self.accepted = True
        client.on_log = None  # paho makes a text for every message
        self.limits = BrokerLimits.announced(properties)

    def _on_disconnect(
        self,
        _client: paho.Client,
        _userdata: object,
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self.trouble is None:
            lost = self._refusal or "connection lost"
            text = str(reason_code) if flags.is_disconnect_packet_from_server else lost
            if reason_code.value == _SESSION_TAKEN_OVER:
                text += "; another client uses the same mqtt.client_id or mqtt.base_topic"
            self.trouble = BrokerError(
                f"{self._where}: {text}", closed=not flags.is_disconnect_packet_from_server
            )

    def _on_publish(
        self,
        _client: paho.Client,
        _userdata: object,
        mid: int,
        reason_code: ReasonCode,
        _properties: Properties,
    ) -> None:
        self._acknowledgements.append(Acknowledgement(mid, reason_code.value, str(reason_code)))

    def _on_subscribe(
        self,
        _client: paho.Client,
        _userdata: object,
        mid: int,
        reason_codes: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        self._refused_subscriptions += [(mid, str(one)) for one in reason_codes if one.is_failure]

    def _on_unsubscribe(self, _client: paho.Client, _userdata: object, mid: int, *_: Any) -> None:
        self._acknowledgements.append(Acknowledgement(mid, 0, "received"))

    def _on_message(
        self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage
    ) -> None:
        if len(self._incoming) < _MAX_HELD_MESSAGES and len(message.payload) < MAX_INCOMING_BYTES:
            self._incoming.append(
                Message(message.topic, bytes(message.payload), message.qos, message.retain)
            )

    def _on_log(self, _client: paho.Client, _userdata: object, level: int, text: str) -> None:
        if level == LogLevel.MQTT_LOG_ERR:
            self._refusal = refused_by_tls(text)
