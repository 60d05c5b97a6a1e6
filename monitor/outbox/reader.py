"""Reading an outbox from another process."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from monitor.alerts import Alert
from monitor.durable import refusal
from monitor.errors import BadInputError, MissingInputError
from monitor.outbox.lock import lock_path
from monitor.outbox.rows import parse_alert
from monitor.outbox.schema import StoreError, reason_of
from monitor.outbox.store import OutboxStore


@dataclass(frozen=True, slots=True)
class OutboxListing:
    """The waiting alerts, oldest first, and the number of dropped alerts by kind.

    ``unrecorded``: alerts that the broker has and that are kept because the history does not have
    them, oldest first.
    """

    alerts: list[Alert]
    dropped: dict[str, int]
    unrecorded: list[Alert]


def read_outbox(path: Path, limit: int = 1_000_000) -> OutboxListing:
    """Read the outbox of a daemon that may be running, without changing it.

    Raises ``MissingInputError`` when it does not exist and ``BadInputError`` when it
    cannot be read.
    """
    try:
        exists = path.exists()
    except OSError as error:
        raise MissingInputError(f"outbox {path}: {error.strerror}") from error
    if not exists:
        raise MissingInputError(f"outbox {path}: {_why_missing(path)}")
    try:
        store = OutboxStore.open_read_only(path)
        try:
            alerts = [parse_alert(row.body) for row in store.alerts(limit)]
            unrecorded = [parse_alert(row.body) for row in store.unrecorded(limit)]
            dropped: Counter[str] = Counter()
            for (_, kind), number in store.drops().items():
                dropped[kind] += number
        finally:
            store.close()
    except (sqlite3.Error, StoreError) as error:
        raise BadInputError(f"outbox {path}: {reason_of(error, path)}") from error
    return OutboxListing(
        [alert for alert in alerts if alert is not None],
        dict(dropped),
        [alert for alert in unrecorded if alert is not None],
    )


def _why_missing(path: Path) -> str:
    in_memory = "`auscult status` shows how many alerts the daemon keeps in memory"
    if disk := refusal(path.parent):
        return f"cannot be made, because {disk}; {in_memory}"
    if lock_path(path).exists():
        return f"is missing, although a daemon has used this state folder; {in_memory}"
    return (
        "does not exist; no daemon has used this state folder yet (for the service, set "
        "STATE_DIRECTORY=/var/lib/auscult)"
    )
