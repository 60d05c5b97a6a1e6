"""An ordinary subscriber in a separate process, which records what it receives.

    python -m benchmarks._chaos.subscriber PORT FILTER FILE

A persistent session at QoS 1. Every subscription that the broker has confirmed and
every message is a line in FILE; ``at_s`` is the monotonic time of its arrival.
"""

from __future__ import annotations

import json
import os
import sys
import time

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def subscribe(port: int, topic_filter: str, path: str) -> None:
    """Receive until the process is ended."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(**fields: object) -> None:
        os.write(file, json.dumps(fields).encode() + b"\n")

    def on_connect(client: paho.Client, *_: object) -> None:
        client.subscribe(topic_filter, qos=1)

    def on_message(_client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        payload = message.payload.decode("utf-8", "replace")
        write(
            event="message",
            at_s=time.monotonic(),
            topic=message.topic,
            dup=message.dup,
            payload=payload,
        )

    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id="ledger", protocol=MQTTProtocolVersion.MQTTv5
    )
    client.on_connect = on_connect
    client.on_subscribe = lambda *_: write(event="subscribed")
    client.on_message = on_message
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
    properties.SessionExpiryInterval = 86_400
    while True:
        try:
            client.connect("127.0.0.1", port, 60, clean_start=False, properties=properties)
            while client.loop(0.5) == paho.MQTT_ERR_SUCCESS:
                pass
        except OSError:
            pass
        time.sleep(0.05)


if __name__ == "__main__":
    subscribe(int(sys.argv[1]), sys.argv[2], sys.argv[3])
