"""A connection with the newest MQTT version and the best last will that the broker accepts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from paho.mqtt.enums import MQTTProtocolVersion

from monitor.mqtt.connect_failures import uses_tls
from monitor.mqtt.connection import MQTT_5, MQTT_311, MqttConnection
from monitor.mqtt.messages import PACKET_TOO_LARGE, BrokerError, Message
from monitor.mqtt.settings import MqttSettings

_RETAIN_REFUSED, _QOS_REFUSED = 0x9A, 0x9B
_CLIENT_ID_REFUSED = 0x85
_SHORT_KEEPALIVE_S = 10
"""The lowest limit that mosquitto's ``max_keepalive`` can set."""
_TOPIC_REFUSED, _QUOTA_EXCEEDED, _FORMAT_REFUSED = 0x90, 0x97, 0x99
_WILL_REFUSED = {
    _RETAIN_REFUSED,
    _QOS_REFUSED,
    _TOPIC_REFUSED,
    PACKET_TOO_LARGE,
    _QUOTA_EXCEEDED,
    _FORMAT_REFUSED,
}


def connect(
    settings: MqttSettings,
    last_will: Message | None = None,
    *,
    only_311: bool = False,
    give_up: Callable[[], bool] = lambda: False,
) -> MqttConnection:
    """Connect with the configured protocol; ``auto``: MQTT 5, or 3.1.1 where that fails.

    A broker may refuse the last will: with a reason (MQTT 5), or by closing the
    connection. Then a lesser one is tried: not retained, with QoS 0, and none at last.
    ``MqttConnection.limits`` has the first reason. ``only_311``: do not try MQTT 5 with
    ``auto``. Raises as ``MqttConnection.open``; the error has the reasons of both versions.
    """
    attempt = _Attempt(settings, last_will, give_up)
    if settings.protocol == "3.1.1" or (settings.protocol == "auto" and only_311):
        return attempt.last(MQTT_311)
    if settings.protocol == "5":
        return attempt.last(MQTT_5)
    try:
        return attempt.answered(MQTT_5)
    except BrokerError as error:
        if not error.wrong_protocol or give_up():
            raise
        first = error
    try:
        return attempt.last(MQTT_311)
    except BrokerError as error:
        if error.refused or str(error) == str(first):
            raise
        reason = str(error).removeprefix(f"{attempt.where}: ")
        raise BrokerError(f"{first}; with MQTT 3.1.1: {reason}") from error


class _Attempt:
    """One attempt to connect, which may need several connections."""

    def __init__(
        self, settings: MqttSettings, last_will: Message | None, give_up: Callable[[], bool]
    ) -> None:
        self.where = f"broker {settings.host}:{settings.port}"
        self._settings = settings
        self._will = last_will
        self._give_up = give_up

    def answered(self, protocol: MQTTProtocolVersion) -> MqttConnection:
        """Connect; try a lesser will only if the broker gives its reason for a refusal."""
        will, refusal = self._will, ""
        while True:
            try:
                connection = self._open(protocol, will)
            except BrokerError as error:
                if self._may_be_keepalive(protocol, error):
                    self._settings = self._settings.model_copy(
                        update={"keepalive_s": _SHORT_KEEPALIVE_S}
                    )
                    continue
                if will is None or error.reason_code not in _WILL_REFUSED or self._give_up():
                    raise
                refusal = refusal or self._reason(error)
                will = _without(will, error.reason_code)
                continue
            connection.limits = replace(connection.limits, will_refusal=refusal)
            return connection

    def last(self, protocol: MQTTProtocolVersion) -> MqttConnection:
        """Connect; try a lesser will also if the broker closes the connection."""
        try:
            return self.answered(protocol)
        except BrokerError as error:
            if not error.closed or self._give_up():
                raise
            if not self._settings.tls and uses_tls(self._settings):
                raise BrokerError(
                    f"{self.where}: uses TLS on this port: set mqtt.tls = true, "
                    "or mqtt.port to a port without TLS",
                    refused=True,
                ) from error
            if self._will is None:
                raise
            return self._lesser(protocol, self._will, error)

    def _lesser(
        self, protocol: MQTTProtocolVersion, full: Message, first: BrokerError
    ) -> MqttConnection:
        for will in _lesser_wills(full):
            if self._give_up():
                raise first
            with contextlib.suppress(BrokerError):
                self._open(protocol, will).close(orderly=True)
                # A broker that has just started refuses every will for a moment.
                with contextlib.suppress(BrokerError):
                    return self.answered(protocol)
                connection = self._open(protocol, will)
                connection.limits = replace(
                    connection.limits, will_refusal=f"{self._reason(first)} without a reason"
                )
                if will is not None:
                    connection.limits = replace(
                        connection.limits,
                        can_retain=connection.limits.can_retain and will.retain,
                        max_qos=min(connection.limits.max_qos, will.qos),
                    )
                return connection
        raise first

    def _may_be_keepalive(self, protocol: MQTTProtocolVersion, error: BrokerError) -> bool:
        """With MQTT 3.1.1, mosquitto gives this reason when the keep-alive is too long for it."""
        return (
            protocol == MQTT_311
            and error.reason_code == _CLIENT_ID_REFUSED
            and self._settings.keepalive_s > _SHORT_KEEPALIVE_S
            and not self._give_up()
        )

    def _open(self, protocol: MQTTProtocolVersion, will: Message | None) -> MqttConnection:
        return MqttConnection.open(self._settings, protocol, will, self._give_up)

    def _reason(self, error: BrokerError) -> str:
        return str(error).removeprefix(f"{self.where}: ").removeprefix("refuses the connection: ")


def _without(will: Message, reason_code: int) -> Message | None:
    """The will without what the broker refuses; ``None`` if nothing else is left."""
    if reason_code == _RETAIN_REFUSED and will.retain:
        return replace(will, retain=False)
    if reason_code == _QOS_REFUSED and will.qos:
        return replace(will, qos=0)
    return None


def _lesser_wills(will: Message) -> Iterator[Message | None]:
    for qos, retain in ((1, False), (0, True), (0, False)):
        if qos <= will.qos and retain <= will.retain:
            yield replace(will, qos=qos, retain=retain)
    yield None
