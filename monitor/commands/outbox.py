"""``auscult outbox`` and ``auscult discovery``."""

from __future__ import annotations

from pathlib import Path

from monitor.alerts import Alert, alert_to_dict
from monitor.commands.output import columns, emit, message
from monitor.config.settings import load_config
from monitor.config.state_folder import daemon_state_dir, outbox_path
from monitor.durable import refusal
from monitor.mqtt import discovery_removal
from monitor.outbox.reader import read_outbox
from monitor.text.wording import counted


def outbox(config: Path, *, as_json: bool) -> None:
    """Print the alerts that the broker has not acknowledged, oldest first.

    Then those that it has acknowledged, kept until history and evidence are written.
    """
    path = outbox_path(daemon_state_dir(load_config(config), config))
    listing = read_outbox(path)
    if disk := refusal(path.parent):
        message(
            f"{disk}: alerts that the daemon keeps in memory are not listed; `auscult status` "
            "shows how many wait"
        )
    dropped = ", ".join(f"{number} {kind}" for kind, number in sorted(listing.dropped.items()))
    emit(
        {
            "alerts": [alert_to_dict(alert) for alert in listing.alerts],
            "dropped": listing.dropped,
            "unrecorded": [alert_to_dict(alert) for alert in listing.unrecorded],
        },
        [
            *_rows(listing.alerts),
            f"{counted(len(listing.alerts), 'alert')} not acknowledged"
            + (f"; dropped so far: {dropped}" if dropped else ""),
            *_unrecorded(listing.unrecorded),
        ],
        as_json=as_json,
    )


def _unrecorded(alerts: list[Alert]) -> list[str]:
    if not alerts:
        return []
    kept = "delivered, kept until history and evidence are written (unrecorded)"
    return [*_rows(alerts), f"{counted(len(alerts), 'alert')} {kept}"]


def _rows(alerts: list[Alert]) -> list[str]:
    return columns(
        [
            (alert.at, alert.machine, alert.kind, f"score {alert.score:.4g}", alert.event_id)
            for alert in alerts
        ]
    )


def remove_discovery(config: Path, *, as_json: bool) -> None:
    """Remove this daemon's devices from Home Assistant."""
    settings = load_config(config)
    machines = [machine.id for machine in settings.machines]
    topics = discovery_removal.remove_discovery(settings.mqtt, machines)
    emit(
        {"removed": topics},
        [*topics, f"{counted(len(topics), 'device')} removed"],
        as_json=as_json,
    )
