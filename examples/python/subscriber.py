"""Print each of Auscult's alerts once, also those sent while this program was not running."""

from __future__ import annotations

import argparse
import json
from collections import OrderedDict
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

REMEMBERED = 10_000
SESSION_S = 7 * 24 * 3600


class Alerts:
    """Subscribe and print. ``seen`` holds the newest event ids, to discard repetitions."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.seen: OrderedDict[str, None] = OrderedDict()

    def on_connect(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe(f"{self.base}/+/alert", qos=1)

    def on_message(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        alert: dict[str, Any] = json.loads(message.payload)
        if alert["event_id"] in self.seen:
            return
        self.seen[alert["event_id"]] = None
        if len(self.seen) > REMEMBERED:
            self.seen.popitem(last=False)
        print(line(alert, topic=message.topic), flush=True)


def line(alert: dict[str, Any], topic: str) -> str:
    """One line for an alert.

    The short form ("short": true), for brokers that limit the packet size, leaves fields out. Only
    event_id, alert_id, kind, at and sequence are always there; the machine is also in the topic.
    """
    parts = [alert["at"], alert.get("machine") or topic.split("/")[-2], alert["kind"]]
    if "score" in alert:
        parts.append(f"score {alert['score']:.1f}")
    if "threshold" in alert:
        parts.append(f"of {alert['threshold']:.1f}")
    if bands := alert.get("bands_hz"):
        parts.append(", ".join(f"{low:.0f}-{high:.0f} Hz" for low, high in bands))
    if findings := alert.get("findings"):
        parts.append(f"found: {findings[0]['text']}")
    return " ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--base", required=True, help="mqtt.base_topic of the daemon")
    options = parser.parse_args()
    alerts = Alerts(options.base)
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id="auscult-example-subscriber",
        protocol=MQTTProtocolVersion.MQTTv5,
    )
    client.on_connect = alerts.on_connect
    client.on_message = alerts.on_message
    session = Properties(PacketTypes.CONNECT)
    session.SessionExpiryInterval = SESSION_S
    client.connect(options.host, options.port, clean_start=False, properties=session)
    client.loop_forever()


if __name__ == "__main__":
    main()
