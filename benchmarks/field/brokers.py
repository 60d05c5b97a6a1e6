"""Brokers that restrict what they accept: every limit of mosquitto, with MQTT 5 and 3.1.1.

    python -m benchmarks.field.brokers

A real mosquitto with each limit receives an alert that is raised, updated and cleared, a state,
and the messages for Home Assistant, through the real outbox and publisher. A row for each: how
many alerts a subscriber received and in which form, how many connections that took, and what
``health`` and the status line report. Ends with status 1 if an alert is missing although
the broker could have taken it, or without a message, or if the daemon reconnects in a loop.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.field.rows import Row, print_table
from monitor import __version__
from monitor.alerts import AlertKind
from monitor.mqtt.home_assistant import Discovery
from monitor.mqtt.publisher import MqttPublisher
from monitor.outbox.queue import Outbox
from tests.alert_drafts import draft
from tests.mosquitto import Mosquitto, Subscriber
from tests.waiting import wait_for

PROTOCOLS = ("5", "3.1.1")
KINDS: tuple[AlertKind, ...] = ("raised", "updated", "cleared")
ALL_BUT_ALERTS = (
    "user auscult\ntopic deny auscult/test/pump-7/alert\ntopic readwrite #\n"
    "user reader\ntopic read #\n"
)
WRITE_ALL = "user auscult\ntopic write #\nuser reader\ntopic readwrite #\n"


@dataclass(frozen=True, slots=True)
class Limit:
    """What a broker restricts.

    ``takes_alerts``: whether it can accept one in any form. ``guaranteed_311``: whether delivery
    is guaranteed with MQTT 3.1.1, which shows no limits and no refusals.
    """

    lines: tuple[str, ...] = ()
    acl: str | None = None
    machine: str = "pump-7"
    takes_alerts: bool = True
    guaranteed_311: bool = True


QUEUE = "max_queued_messages 1000"  # mosquitto's default; tests set 0, which is no limit
LIMITS = {
    "none": Limit(),
    "retain_available false": Limit(("retain_available false",)),
    "max_qos 0": Limit(("max_qos 0",)),
    "max_qos 1": Limit(("max_qos 1",)),
    "max_packet_size 260": Limit(("max_packet_size 260",), guaranteed_311=False),
    "max_packet_size 260, long name": Limit(
        ("max_packet_size 260",), machine="m" * 64, takes_alerts=False
    ),
    "max_packet_size 300": Limit(("max_packet_size 300",)),
    "max_packet_size 300, long name": Limit(("max_packet_size 300",), machine="m" * 64),
    "max_packet_size 600": Limit(("max_packet_size 600",)),
    "max_packet_size 1000": Limit(("max_packet_size 1000",)),
    "max_packet_size 2048": Limit(("max_packet_size 2048",)),
    "max_packet_size 65535": Limit(("max_packet_size 65535",)),
    "message_size_limit 290": Limit(("message_size_limit 290",)),
    "message_size_limit 290, limited queue": Limit(
        ("message_size_limit 290", QUEUE), guaranteed_311=False
    ),
    "message_size_limit 500": Limit(("message_size_limit 500",)),
    "message_size_limit 2000": Limit(("message_size_limit 2000",)),
    "max_keepalive 10": Limit(("max_keepalive 10",)),
    "max_inflight_messages 1": Limit(("max_inflight_messages 1",)),
    "max_inflight_bytes 300": Limit(("max_inflight_bytes 300",)),
    "max_queued_messages 1": Limit(("max_queued_messages 1",)),
    "max_topic_alias 0": Limit(("max_topic_alias 0",)),
    "no empty client ids": Limit(("allow_zero_length_clientid false",)),
    "nothing retained, QoS 0, 300 bytes": Limit(
        ("retain_available false", "max_qos 0", "max_packet_size 300")
    ),
    "nothing retained, one in flight, 600 bytes": Limit(
        ("retain_available false", "max_inflight_messages 1", "max_packet_size 600")
    ),
    "may not read": Limit(acl=WRITE_ALL),
    "may write alerts only": Limit(
        acl="user auscult\ntopic write auscult/test/pump-7/alert\nuser reader\ntopic read #\n"
    ),
    "may write all but alerts": Limit(acl=ALL_BUT_ALERTS, takes_alerts=False),
    "may write all but alerts, limited queue": Limit(
        (QUEUE,), acl=ALL_BUT_ALERTS, takes_alerts=False, guaranteed_311=False
    ),
    "may write nothing": Limit(
        acl="user auscult\ntopic read #\nuser reader\ntopic read #\n", takes_alerts=False
    ),
}
MOST_CONNECTIONS = 20
"""Finding an unannounced limit takes some; more is a loop."""


def rows(
    folder: Path, limits: Sequence[str] = tuple(LIMITS), protocols: Sequence[str] = PROTOCOLS
) -> Iterator[Row]:
    """A row for each limit and protocol."""
    for name in limits:
        for protocol in protocols:
            place = folder / f"{len(list(folder.iterdir()))}"
            place.mkdir()
            yield _row(name, protocol, place)


def _row(name: str, protocol: str, folder: Path) -> Row:
    limit = LIMITS[name]
    users = {"auscult": "one", "reader": "two"} if limit.acl else None
    account = {"username": "auscult", "password": "one"} if limit.acl else {}
    reader = ("reader", "two") if limit.acl else (None, None)
    with (
        Mosquitto(folder, extra="\n".join(limit.lines), users=users, acl=limit.acl) as broker,
        Subscriber(broker, username=reader[0], password=reader[1]) as subscriber,
        Outbox(folder / "outbox.sqlite3") as outbox,
    ):
        settings = broker.settings(discovery=True, protocol=protocol, ack_timeout_s=1.0, **account)
        publisher = MqttPublisher(settings, outbox)
        Discovery(settings, publisher, __version__).announce([limit.machine])
        for kind in KINDS:
            outbox.append(draft(kind, machine=limit.machine))
        publisher.publish_state(limit.machine, {"state": "ok"})
        publisher.start()

        def alerts() -> list[dict[str, object]]:
            return [json.loads(one) for one in subscriber.payloads(f"{limit.machine}/alert")]

        with contextlib.suppress(AssertionError):
            wait_for(
                lambda: outbox.depth() == 0 and len(alerts()) >= len(KINDS),
                15.0 if limit.takes_alerts else 3.0,
            )
        _until_stable(publisher)
        message = "; ".join(filter(None, (publisher.limits(), publisher.refusal())))
        message = message or publisher.connection_error() or ""
        n_connections = publisher.delivery_counts().connections
        found, n_left = alerts(), outbox.depth()
        publisher.stop()
    n_whole = sum("short" not in one for one in found)
    result = [
        f"alerts: {n_whole} whole, {len(found) - n_whole} short, {n_left} kept",
        "state" if subscriber.payloads(f"{limit.machine}/state") else "no state",
        f"connections: {n_connections}",
    ]
    if protocol == "3.1.1" and not limit.guaranteed_311:
        wrong = ""
        result.append("not guaranteed")
    else:
        n_received = len({one["event_id"] for one in found})
        wrong = _wrong(limit, n_received, n_left, n_connections, message)
    return Row("broker", f"{name}, MQTT {protocol}", ", ".join(result), message, wrong=wrong)


def _until_stable(publisher: MqttPublisher) -> None:
    """Wait until a connection has lasted for a second, or at most ten."""
    stop_s = time.monotonic() + 10.0
    since_s, connections = time.monotonic(), 0
    while time.monotonic() < min(stop_s, since_s + 1.0):
        if publisher.delivery_counts().connections != connections:
            since_s, connections = time.monotonic(), publisher.delivery_counts().connections
        time.sleep(0.05)


def _wrong(limit: Limit, n_received: int, n_left: int, connections: int, message: str) -> str:
    if limit.takes_alerts and n_received < len(KINDS):
        return "alerts missing"
    if n_received + n_left < len(KINDS):
        return "alerts lost"
    if n_received < len(KINDS) and not message:
        return "no message"
    return "reconnects in a loop" if connections > MOST_CONNECTIONS else ""


def main() -> int:
    """Print the table; the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        return print_table(rows(Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
