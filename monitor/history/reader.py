"""Reading the history beside a running daemon, without changing it and without blocking it."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from monitor.history.opening import opened_to_read
from monitor.history.overview import first_row, overview, periods
from monitor.history.records import AlertRecord, Event, Minute
from monitor.text.json_objects import json_object

_EVENT = (
    "SELECT at, at_unix_s, machine, kind, alert_id, event_id, value, user, note, payload,"
    " position FROM events"
)
_EVENT_FIELDS = (
    *("at", "at_unix_s", "machine", "kind", "alert_id", "event_id", "value", "user", "note"),
    *("payload", "position"),
)
_ALERT_FIELDS = (
    *("alert_id", "machine", "raised_at", "raised_unix_s", "cleared_at", "cleared_unix_s"),
    *("peak_ratio", "n_updates", "acknowledged", "label", "note", "payload"),
)
_ALERT = f"SELECT {', '.join(_ALERT_FIELDS)} FROM alerts"  # noqa: S608 - constants


class HistoryReader:
    """The history in one file. Any thread may use it; the file is opened for each call.

    ``opened``: opens it; in the process that writes the history, this is ``HistoryWriter.to_read``.

    Times are Unix times in seconds; a range includes ``since_s`` and excludes ``until_s``. Every
    method raises ``MissingInputError`` if there is no history, and ``BadInputError`` if it cannot
    be read.
    """

    def __init__(
        self,
        path: Path,
        opened: Callable[[], AbstractContextManager[sqlite3.Connection]] | None = None,
    ) -> None:
        self.path = path
        self._opened = opened or partial(opened_to_read, path)

    def machines(self) -> list[str]:
        """The machines that have a history, in the order of their names."""
        return [row[0] for row in self._rows("SELECT name FROM machines ORDER BY name")]

    def minutes(self, machine: str, since_s: float, until_s: float) -> list[Minute]:
        """The minutes of a machine, oldest first; those without anything are missing."""
        with self._opened() as connection:
            return periods(connection, "minutes", machine, (since_s, until_s), 1)

    def overview(
        self, machine: str, since_s: float, until_s: float, most_points: int = 1000
    ) -> list[Minute]:
        """At most ``most_points`` rows for a time of any length, oldest first.

        Rows are whole minutes, quarters of an hour, hours or days (of UTC), or several of these
        joined. Where minutes are deleted already, rows are longer than elsewhere.
        """
        return self.overviews([machine], since_s, until_s, most_points)[machine]

    def overviews(
        self, machines: Sequence[str], since_s: float, until_s: float, most_points: int = 1000
    ) -> dict[str, list[Minute]]:
        """``overview`` of several machines, with a file that is opened once."""
        with self._opened() as connection:
            return {
                machine: overview(connection, machine, (since_s, until_s), max(1, most_points))
                for machine in machines
            }

    def last_value_s(self, machine: str, since_s: float, until_s: float) -> float | None:
        """When the newest minute with sound or scores began; None without any.

        If the minutes of this time are deleted already: the newest hour, or the newest day.
        """
        end = math.ceil(until_s / 60.0)
        with self._opened() as connection:
            for table in ("minutes", "hours", "days"):
                row = connection.execute(
                    f"SELECT start FROM {table} WHERE start >= ? AND start < ?"  # noqa: S608 - constants
                    " AND machine_id = (SELECT machine_id FROM machines WHERE name = ?)"
                    " AND (received_time > 0 OR n_scores > 0) ORDER BY start DESC LIMIT 1",
                    (first_row(table, since_s), end, machine),
                ).fetchone()
                if row is not None:
                    return max(60.0 * int(row[0]), since_s)
        return None

    def events(
        self,
        *,
        machine: str | None = None,
        alert_id: str | None = None,
        kinds: Sequence[str] = (),
        since_s: float | None = None,
        until_s: float | None = None,
        limit: int = 1000,
        newest_first: bool = True,
    ) -> list[Event]:
        """The newest (or the oldest) ``limit`` events of a time, in the order of their times."""
        where, values = _conditions(
            ("machine = ?", machine),
            ("alert_id = ? AND alert_id != ''", alert_id),
            ("at_unix_s >= ?", since_s),
            ("at_unix_s < ?", until_s),
            kinds=kinds,
        )
        order = "DESC" if newest_first else "ASC"
        query = f"{_EVENT} {where} ORDER BY at_unix_s {order}, position {order} LIMIT ?"
        return [_event(row) for row in self._rows(query, (*values, limit))]

    def news(
        self, position: int, *, kinds: Sequence[str] = (), limit: int = 1000
    ) -> tuple[list[Event], int]:
        """The events that were written after that of a position, oldest first.

        The second value is the position of the newest event of any kind, read before the events.
        Both are from one open file: no event up to that position is missing.
        """
        with self._opened() as connection:
            last = _last_position(connection)
            if last <= position:
                return [], last
            where, values = _conditions(("position > ?", position), kinds=kinds)
            query = f"{_EVENT} {where} ORDER BY position LIMIT ?"
            return [_event(row) for row in connection.execute(query, (*values, limit))], last

    def recorded(self, event_ids: Collection[str]) -> set[str]:
        """Those messages of alerts that the history has, by their ``event_id``."""
        if not event_ids:
            return set()
        query = (
            "SELECT event_id FROM events WHERE event_id IN (SELECT value FROM json_each(?))"
            " AND event_id != ''"
        )
        return {row[0] for row in self._rows(query, (json.dumps(list(event_ids)),))}

    def last_position(self) -> int:
        """The position of the event that was written last; 0 without any."""
        with self._opened() as connection:
            return _last_position(connection)

    def alerts(
        self,
        *,
        machine: str | None = None,
        since_s: float | None = None,
        until_s: float | None = None,
        limit: int = 200,
    ) -> list[AlertRecord]:
        """The newest alerts that were open at any moment of a time, newest first."""
        where, values = _conditions(
            ("machine = ?", machine),
            ("coalesce(cleared_unix_s >= ?, 1)", since_s),
            ("raised_unix_s < ?", until_s),
        )
        query = f"{_ALERT} {where} ORDER BY raised_unix_s DESC LIMIT ?"
        return [_alert(row) for row in self._rows(query, (*values, limit))]

    def alert(self, alert_id: str) -> AlertRecord | None:
        """One alert; None if the history does not have it."""
        rows = self._rows(f"{_ALERT} WHERE alert_id = ?", (alert_id,))
        return _alert(rows[0]) if rows else None

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._opened() as connection:
            return connection.execute(query, values).fetchall()


def _conditions(
    *conditions: tuple[str, Any], kinds: Sequence[str] = ()
) -> tuple[str, tuple[Any, ...]]:
    """``WHERE`` with the conditions whose value is not None, and the values."""
    used = [(text, value) for text, value in conditions if value is not None]
    texts = [text for text, _ in used]
    if kinds:
        texts.append(f"kind IN ({', '.join('?' * len(kinds))})")
    where = f"WHERE {' AND '.join(texts)}" if texts else ""
    return where, (*(value for _, value in used), *kinds)


def _last_position(connection: sqlite3.Connection) -> int:
    query = "SELECT seq FROM sqlite_sequence WHERE name = 'events'"
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _event(row: Sequence[Any]) -> Event:
    values = dict(zip(_EVENT_FIELDS, row, strict=True))
    return Event(**values | {"payload": _object(values["payload"])})


def _alert(row: Sequence[Any]) -> AlertRecord:
    values = dict(zip(_ALERT_FIELDS, row, strict=True))
    changed = {"acknowledged": bool(values["acknowledged"]), "payload": _object(values["payload"])}
    return AlertRecord(**values | changed)


def _object(text: str) -> dict[str, Any]:
    """A payload; empty if it is damaged, because its event and all others are still used."""
    try:
        return json_object(text)
    except ValueError:
        return {}
