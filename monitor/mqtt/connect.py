"""A connection with the newest MQTT version that the broker supports."""

from __future__ import annotations

from collections.abc import Callable

from monitor.mqtt.connection import MQTT_5, MQTT_311, MqttConnection
from monitor.mqtt.messages import BrokerError, Message
from monitor.mqtt.settings import MqttSettings


def connect(
    settings: MqttSettings,
    last_will: Message | None = None,
    *,
    only_311: bool = False,
    give_up: Callable[[], bool] = lambda: False,
) -> MqttConnection:
    """Connect with the configured protocol; ``auto``: MQTT 5, or 3.1.1 where that fails.

    ``only_311``: do not try MQTT 5 with ``auto``. Raises as ``MqttConnection.open``.
    """
    first_5 = settings.protocol == "5" or (settings.protocol == "auto" and not only_311)
    if not first_5:
        return MqttConnection.open(settings, MQTT_311, last_will, give_up)
    try:
        return MqttConnection.open(settings, MQTT_5, last_will, give_up)
    except BrokerError as error:
        if settings.protocol == "5" or not error.wrong_protocol or give_up():
            raise
    return MqttConnection.open(settings, MQTT_311, last_will, give_up)
