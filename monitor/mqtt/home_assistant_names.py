"""The names of machines and daemons in Home Assistant, and the topics of their discovery."""

from __future__ import annotations

import hashlib
import re

from monitor.mqtt.settings import MqttSettings


def config_topic(settings: MqttSettings, machine: str) -> str:
    """The topic of a machine's discovery message; of the daemon's with an empty name."""
    unique = object_id(settings.base_topic, machine)
    return f"{settings.discovery_prefix}/device/{unique}/config"


def object_id(base_topic: str, machine: str) -> str:
    """A unique name that Home Assistant accepts: of a machine, or of the daemon if it is empty.

    It contains the machine's id and a digest, because two ids may differ only in
    characters that Home Assistant does not accept. All names of one daemon begin with
    the name of the daemon.
    """
    daemon = f"auscult_{_digest(base_topic)}"
    return f"{daemon}_{_slug(machine)}_{_digest(machine)}" if machine else daemon


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
