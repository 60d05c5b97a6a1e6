"""Reading the history beside a running daemon, without changing it and without blocking it."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from monitor.errors import BadInputError, MissingInputError
from monitor.history.records import AlertRecord, Event, Minute
from monitor.history.schema import PERIODS, check_version
from monitor.history.tally import COLUMNS, LEVEL_UNIT_DB, RATIO_UNIT, TIME_UNIT_S, Tally

_TIMEOUT_S = 2.0
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

    Times are Unix times in seconds; a range includes ``since_s`` and excludes ``until_s``. Every
    method raises ``MissingInputError`` if there is no history, and ``BadInputError`` if it cannot
    be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def machines(self) -> list[str]:
        """The machines that have a history, in the order of their names."""
        return [row[0] for row in self._rows("SELECT name FROM machines ORDER BY name")]

    def minutes(self, machine: str, since_s: float, until_s: float) -> list[Minute]:
        """The minutes of a machine, oldest first; those without anything are missing."""
        return self._periods("minutes", machine, since_s, until_s, 1)

    def overview(
        self, machine: str, since_s: float, until_s: float, most_points: int = 1000
    ) -> list[Minute]:
        """At most ``most_points`` rows for a time of any length, oldest first.

        Rows are whole minutes, hours or days (of UTC), or several of these joined. Where minutes
        are deleted already, rows are longer than elsewhere.
        """
        most_points = max(1, most_points)
        least = (until_s - since_s) / 60.0 / most_points
        while True:
            table, length = _resolution(least)
            rows = self._kept(table, machine, since_s, until_s, length)
            if len(rows) <= most_points:
                return rows
            least = length * 1.1 + 1.0  # because the time begins inside of a row

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

    def events_after(
        self, position: int, *, kinds: Sequence[str] = (), limit: int = 1000
    ) -> list[Event]:
        """The events that were written after that of a position, oldest first."""
        where, values = _conditions(("position > ?", position), kinds=kinds)
        query = f"{_EVENT} {where} ORDER BY position LIMIT ?"
        return [_event(row) for row in self._rows(query, (*values, limit))]

    def last_position(self) -> int:
        """The position of the event that was written last; 0 without any."""
        rows = self._rows("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        return int(rows[0][0]) if rows else 0

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

    def _kept(
        self, table: str, machine: str, since_s: float, until_s: float, length: int
    ) -> list[Minute]:
        """As ``_periods``; what is deleted in the table is read from that with longer rows."""
        rows = self._rows("SELECT start FROM kept_from WHERE period = ?", (table,))
        kept_s = 60.0 * rows[0][0] if rows else since_s
        longer = {"minutes": "hours", "hours": "days"}.get(table)
        if kept_s <= since_s or longer is None:
            return self._periods(table, machine, since_s, until_s, length)
        longest = -(-length // PERIODS[longer]) * PERIODS[longer]
        earlier = self._kept(longer, machine, since_s, min(kept_s, until_s), longest)
        later = self._periods(table, machine, kept_s, until_s, length) if kept_s < until_s else []
        return earlier + later

    def _periods(
        self, table: str, machine: str, since_s: float, until_s: float, length: int
    ) -> list[Minute]:
        """Rows of ``table`` joined to ``length`` minutes."""
        first = _first(table, since_s)
        query = (
            f"SELECT start, {', '.join(COLUMNS)} FROM {table}"  # noqa: S608 - constants
            " WHERE machine_id = (SELECT machine_id FROM machines WHERE name = ?)"
            " AND start >= ? AND start < ? ORDER BY start"
        )
        rows = self._rows(query, (machine, first, math.ceil(until_s / 60.0)))
        return [_minute(start, length, tally) for start, tally in _joined(rows, first, length)]

    def _rows(self, query: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            if not self.path.exists():
                raise MissingInputError(
                    f"history {self.path}: does not exist; no daemon has written a history in this "
                    "state folder yet"
                )
            with contextlib.closing(self._connect()) as connection:
                return connection.execute(query, tuple(values)).fetchall()
        except sqlite3.Error as error:
            raise BadInputError(f"history {self.path}: {error}") from error
        except PermissionError as error:
            raise MissingInputError(
                f"history {self.path}: only root and the user of the daemon may read it"
            ) from error
        except OSError as error:
            raise MissingInputError(f"history {self.path}: {error.strerror}") from error

    def _connect(self) -> sqlite3.Connection:
        # Without a log the file is complete. A plain open would then create a log and its
        # index, or fail in a read-only folder.
        has_log = self.path.with_name(self.path.name + "-wal").exists()
        connection = sqlite3.connect(
            self.path.resolve().as_uri() + ("?mode=ro" if has_log else "?mode=ro&immutable=1"),
            uri=True,
            timeout=_TIMEOUT_S,
            isolation_level=None,
        )
        try:
            check_version(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _resolution(least: float) -> tuple[str, int]:
    """The table for rows of at least so many minutes, and their minutes."""
    table = next((one for one in reversed(PERIODS) if PERIODS[one] <= least), "minutes")
    return table, max(1, math.ceil(least / PERIODS[table])) * PERIODS[table]


def _first(table: str, since_s: float) -> int:
    """Where the row of ``table`` that contains a time begins."""
    minute = math.floor(since_s / 60.0)
    return minute - minute % PERIODS[table]


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


def _event(row: Sequence[Any]) -> Event:
    values = dict(zip(_EVENT_FIELDS, row, strict=True))
    return Event(**values | {"payload": _object(values["payload"])})


def _alert(row: Sequence[Any]) -> AlertRecord:
    values = dict(zip(_ALERT_FIELDS, row, strict=True))
    changed = {"acknowledged": bool(values["acknowledged"]), "payload": _object(values["payload"])}
    return AlertRecord(**values | changed)


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    return value if isinstance(value, dict) else {}


def _joined(rows: Iterable[Sequence[Any]], first: int, length: int) -> Iterator[tuple[int, Tally]]:
    """Rows that begin in the same ``length`` minutes as one."""
    start, tally = 0, None
    for row in rows:
        own = row[0] - (row[0] - first) % length
        if tally is not None and own == start:
            tally.add(Tally(*row[1:]))
            continue
        if tally is not None:
            yield start, tally
        start, tally = own, Tally(*row[1:])
    if tally is not None:
        yield start, tally


def _minute(start: int, length: int, tally: Tally) -> Minute:
    known_time = tally.running_time + tally.off_time
    is_running = tally.running_time >= tally.off_time
    return Minute(
        minute=start,
        minutes=length,
        ratio_min=_ratio(tally.ratio_min),
        ratio_mean=_ratio(tally.ratio_sum / tally.n_scores) if tally.n_scores else None,
        ratio_max=_ratio(tally.ratio_max),
        level_dbfs=_level(tally),
        operation=None if not known_time else "running" if is_running else "off",
        state=tally.state,
        scored_s=_seconds(tally.scored_time),
        received_s=_seconds(tally.received_time),
        lost_s=_seconds(tally.lost_time),
        running_s=_seconds(tally.running_time),
        n_scores=tally.n_scores,
    )


def _ratio(units: float | None) -> float | None:
    return None if units is None else round(units * RATIO_UNIT, 5)


def _level(tally: Tally) -> float | None:
    if not tally.level_time:
        return None
    return round(tally.level_sum / tally.level_time * LEVEL_UNIT_DB, 2)


def _seconds(units: int) -> float:
    return round(units * TIME_UNIT_S, 1)
