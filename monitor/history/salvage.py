"""A damaged history: rename it, and read from it what can be read."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from monitor.durable import LOG_SUFFIXES, remove_log
from monitor.history.records import Event
from monitor.history.schema import PERIODS
from monitor.history.tally_check import is_tally_row

_MOST_EVENTS = 20_000
_MOST_TALLIES = 100_000
"""Of each table. Reading and writing all of them takes a few seconds."""
_AT_ONCE = 500


def salvage_path(path: Path) -> Path:
    """A damaged file has this name until what can be read is in the new file, also after a kill."""
    return path.with_name(f"{path.name}.salvage")


def move_aside(path: Path) -> None:
    """Rename a damaged file and its log to ``salvage_path``. Raises ``OSError``."""
    target = salvage_path(path)
    path.replace(target)
    remove_log(target)  # of another one
    _move_log(path, target)


def finish_move(path: Path) -> None:
    """Rename the log too, if a kill has ended ``move_aside`` before. Raises ``OSError``."""
    if salvage_path(path).exists() and not path.exists():
        _move_log(path, salvage_path(path))


def keep_damaged(path: Path) -> None:
    """Keep the damaged file as the newest one, for people: all is read. Raises ``OSError``."""
    source, target = salvage_path(path), path.with_name(f"{path.name}.damaged")
    remove_log(target)
    _move_log(source, target)
    source.replace(target)


def _move_log(path: Path, target: Path) -> None:
    for suffix in LOG_SUFFIXES:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(target.with_name(target.name + suffix))


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


def salvaged_tallies(path: Path) -> Iterator[tuple[str, str, list[tuple[Any, ...]]]]:
    """The newest values of each machine that can be read from a damaged file, in parts.

    Each with its table and its machine: rows of ``start`` and ``COLUMNS``. The tables with the
    longest periods come first.
    """
    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(path, isolation_level=None)
        with contextlib.closing(connection):
            machines = connection.execute("SELECT machine_id, name FROM machines").fetchall()
            for table in reversed(PERIODS):
                for machine_id, name in machines:
                    most = _MOST_TALLIES // len(machines)
                    rows = _tallies(connection, table, machine_id, most)
                    while part := list(islice(rows, _AT_ONCE)):
                        yield table, str(name), part


def _tallies(
    connection: sqlite3.Connection, table: str, machine_id: int, most: int
) -> Iterator[tuple[Any, ...]]:
    """The rows after the last damaged page, newest first, and those before the first one."""
    last = None
    for order, condition in (("DESC", "1"), ("ASC", "start < ?1")):
        with contextlib.suppress(sqlite3.Error):
            query = (
                f"SELECT * FROM {table} WHERE machine_id = ?2 AND {condition}"  # noqa: S608 - constants
                f" ORDER BY start {order} LIMIT ?3"
            )
            end = 2**63 - 1 if last is None else last
            for row in connection.execute(query, (end, machine_id, most)):
                if not is_tally_row(row):
                    break
                last = row[1] if order == "DESC" else last
                most -= 1
                yield row[1:]


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
