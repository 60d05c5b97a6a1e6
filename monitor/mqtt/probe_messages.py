"""The messages of a daemon as large as they can be, for the broker test."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict

from monitor import __version__
from monitor.alerts import Alert, EvidenceLink
from monitor.mqtt.alert_sender import DeliveryCounts
from monitor.mqtt.home_assistant import Discovery
from monitor.mqtt.messages import Message
from monitor.mqtt.payloads import encode, health_payload, info_payload
from monitor.mqtt.settings import MqttSettings
from monitor.mqtt.topics import Topics
from monitor.uuid7 import uuid7

_TIME = "2026-01-01T00:00:00.000Z"
_NUMBER = 1 / 3
"""A value with as many digits as a score can have."""


def retained_messages(
    settings: MqttSettings, machines: Collection[str], limits: str
) -> list[Message]:
    """The daemon's retained messages, with values of a usual length.

    ``limits``: what the broker restricts.
    """
    topics = Topics(settings.base_topic)
    described = [
        {
            "id": machine,
            "source": "microphone",
            "bundle_sha256": "0" * 64,
            "threshold": _NUMBER,
            "warning_threshold": _NUMBER,
            "false_alarms_per_week": 1.0,
            "provisional": True,
            "span_s": 4.1,
        }
        for machine in machines
    ]
    outbox = {"state": "ok", "detail": "", "depth": 0, "unwritten": 0, "dropped": {}}
    delivery = asdict(DeliveryCounts()) | {"refusal": "", "limits": limits}
    found = {
        topics.info: encode(
            info_payload(version=__version__, started_at=_TIME, machines=described)
        ),
        topics.health: encode(health_payload(outbox | {"recoveries": 0}, delivery)),
    }
    coverage = {"monitored_s": 100000.0, "degraded_s": 0.0, "lost_s": 0.0}
    warning = "5 dB quieter than any healthy recording"
    state = {
        "state": "muted",
        "state_without_mute": "anomaly",
        "muted_until": _TIME,
        "muted_alerts": 0,
        "reason": "",
        "detail": "",
        "warnings": ["level_shift"],
        "warning_details": {"level_shift": warning},
        "since": _TIME,
        "alert_id": str(uuid7()),
        "acknowledged": False,
        "label": "false-alarm",
        "coverage": coverage,
    }
    operation = {
        "operation": "transition",
        "since": _TIME,
        "running_s": 10_000_000.0,
        "starts": 10_000,
        "today": {"running_s": 10_000.0, "starts": 100},
    }
    for machine in machines:
        found[topics.state(machine)] = encode(state)
        found[topics.operation(machine)] = encode(operation)
    if settings.discovery:
        announced = _Announced()
        Discovery(settings, announced, __version__).announce(machines)
        found |= announced.payloads
    return [Message(topic, payload, retain=True) for topic, payload in found.items()]


class _Announced:
    """Keeps the discovery messages instead of publishing them."""

    def __init__(self) -> None:
        self.payloads: dict[str, bytes] = {}

    def publish_retained(self, topic: str, payload: bytes) -> None:
        self.payloads[topic] = payload

    def republish(self, prefix: str) -> None:
        """Nothing is sent, so nothing is sent again."""

    def subscribe(self, topic: str, handler: Callable[[str, bytes], None]) -> None:
        """Nothing is received."""


_FINDING = {
    "kind": "subharmonics",
    "rate_hz": 1000.123,
    "rate_uncertainty_hz": 1000.123,
    "order": 1000.1234,
    "level_db": 100.1,
    "band_hz": [10_000, 20_000],
    "text": "x" * 250,
    "fits": [{"cause": "x" * 40, "expected_hz": 1000.123, "deviation": -0.01234}] * 3,
}


def largest_alert(machine: str) -> Alert:
    """An alert of ``machine`` in which every field is as long as it can be in practice."""
    band_hz = (10_000.1, 20_000.2)
    alert_id = str(uuid7())
    return Alert(
        event_id=str(uuid7()),
        alert_id=alert_id,
        sequence=2**31,
        kind="updated",
        machine=machine,
        at=_TIME,
        started_at=_TIME,
        score=1000 + _NUMBER,
        peak_score=1000 + _NUMBER,
        threshold=1000 + _NUMBER,
        loss=_NUMBER,
        false_alarms_per_week=_NUMBER,
        bands_hz=(band_hz,) * 3,
        bundle_sha256="0" * 64,
        span_s=1000.123,
        channel="distance",
        findings=(_FINDING,) * 3,
        evidence=EvidenceLink.to(alert_id, 10, "https://homeassistant.example.com/auscult"),
    )
