"""A damaged history: rename it, and read from it what can be read."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitor.history.records import Event

_MOST_EVENTS = 20_000
_AT_ONCE = 500


def move_aside(path: Path) -> Path:
    """Rename a damaged file and its log, and replace the one that was renamed before.

    Returns the new path. Raises ``OSError``.
    """
    target = path.with_name(f"{path.name}.damaged")
    path.replace(target)
    for suffix in ("-wal", "-shm"):
        renamed = target.with_name(target.name + suffix)
        renamed.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(renamed)
    return target


def salvaged_events(path: Path) -> Iterator[list[Event]]:
    """The newest events that can be read from a damaged file, in parts, each oldest first."""
    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(path, isolation_level=None)
        with contextlib.closing(connection):
            last = connection.execute("SELECT max(position) FROM events").fetchone()[0] or 0
            first = last - _MOST_EVENTS
            for start in range(max(0, first), last + 1, _AT_ONCE):
                found = _events(connection, start, start + _AT_ONCE)
                if found:
                    yield found


def _events(connection: sqlite3.Connection, start: int, stop: int) -> list[Event]:
    found: list[Event] = []
    with contextlib.suppress(sqlite3.Error):  # the next part may be readable
        for row in connection.execute(
            "SELECT * FROM events NOT INDEXED WHERE position >= ? AND position < ?"
            " ORDER BY position",
            (start, stop),
        ):
            with contextlib.suppress(TypeError, ValueError):  # a row of garbage
                found.append(_event(row))
    return found


def _event(row: tuple[Any, ...]) -> Event:
    position, at, at_unix_s, *texts, payload = row
    if not all(isinstance(text, str) for text in (at, *texts)):
        raise TypeError("not a text")
    machine, kind, alert_id, event_id, value, user, note = texts
    return Event(
        position=int(position),
        at=at,
        at_unix_s=float(at_unix_s),
        machine=machine,
        kind=kind,
        alert_id=alert_id,
        event_id=event_id,
        value=value,
        user=user,
        note=note,
        payload=dict(json.loads(payload)),
    )
