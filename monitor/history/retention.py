"""Deletes the oldest part of the history, so that it stays within its age and its bytes."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from monitor.durable import transaction
from monitor.history.schema import PERIODS

_DAY_MIN = 1440
_HOUR_MIN = 60
_PLAIN = "kind IN ('state', 'operation', 'warning')"
"""Events that are deleted as early as the minutes."""
_ENDED = "coalesce(cleared_unix_s, raised_unix_s)"

_OF_ALERT = "events.alert_id = alerts.alert_id AND events.alert_id != ''"
"""The second part lets SQLite use the index, which has no other rows."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``max_bytes``: of the file and its log, at least 1 MB. ``max_age_s``: in seconds."""

    max_bytes: float = 500e6
    max_age_s: float = 400 * 86_400.0


class Retention:
    """Deletes from one database. Every method may raise ``sqlite3.Error``.

    Each call does a small part, and returns whether there is more to do: alerts can be written
    between two calls.
    """

    SHARE_OF_LOG: ClassVar[float] = 0.2
    """The part of ``max_bytes`` that the log of the database may have, but at most 16 MB."""
    _MOST_LOG_BYTES: ClassVar[float] = 16e6
    _FREED_PAGES: ClassVar[int] = 500
    _EXPIRED_ROWS: ClassVar[int] = 20_000

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._page_bytes = self._number("PRAGMA page_size")

    @classmethod
    def log_bytes(cls, limits: Limits) -> float:
        """The most bytes of the log."""
        return min(cls._MOST_LOG_BYTES, cls.SHARE_OF_LOG * limits.max_bytes)

    def shrink(self, limits: Limits) -> bool:
        """Delete the oldest values if the file has no room left, and give back its free pages."""
        most_pages = int((limits.max_bytes - self.log_bytes(limits)) / self._page_bytes)
        pages = self._number("PRAGMA page_count")
        free_pages = self._number("PRAGMA freelist_count")
        margin = most_pages // 25
        if pages - free_pages > most_pages - margin:
            return self._delete_oldest()
        if pages > most_pages:
            return self._give_back(min(free_pages, pages - most_pages, self._FREED_PAGES))
        return False

    def expire(self, limits: Limits, now_s: float, monitored: Collection[str]) -> bool:
        """Delete what is too old, but no alert of a monitored machine that is still open.

        The age of what a monitored machine gave is counted back from its newest value, if that is
        in the past: recordings of earlier years are then kept as well. For other machines, it is
        counted back from now.
        """
        for machine_id, name in self._connection.execute("SELECT * FROM machines").fetchall():
            latest_s = now_s
            if name in monitored:
                newest = self._newest(machine_id)
                latest_s = now_s if newest is None else min(now_s, (newest + _DAY_MIN) * 60.0)
            cutoff_s = latest_s - limits.max_age_s
            if self._expire_machine(machine_id, name, cutoff_s, is_monitored=name in monitored):
                return True
            if name not in monitored and not self._has_any(machine_id, name):
                with transaction(self._connection):
                    self._connection.execute("DELETE FROM machines WHERE name = ?", (name,))
        return False

    def _expire_machine(
        self, machine_id: int, name: str, cutoff_s: float, *, is_monitored: bool
    ) -> bool:
        """Delete what one machine gave before a time, up to a number of rows."""
        left = self._EXPIRED_ROWS
        kept = self._open_alert(name) if is_monitored else ""
        with transaction(self._connection):
            for table, length in PERIODS.items():
                # A row is too old when its end is.
                keys = (
                    f"SELECT start FROM {table} WHERE machine_id = ? AND start <= ?"  # noqa: S608 - constants
                    " ORDER BY start LIMIT ?"
                )
                found = (machine_id, int(cutoff_s // 60) - length, left)
                left -= self._connection.execute(
                    f"DELETE FROM {table} WHERE machine_id = ? AND start IN ({keys})",  # noqa: S608 - constants
                    (machine_id, *found),
                ).rowcount
            left -= self._connection.execute(
                "DELETE FROM events WHERE position IN (SELECT position FROM events WHERE"
                " machine = ? AND at_unix_s < ? AND (alert_id = '' OR alert_id != ?) LIMIT ?)",
                (name, cutoff_s, kept, left),
            ).rowcount
            self._connection.execute(
                f"DELETE FROM alerts WHERE machine = ? AND {_ENDED} < ? AND alert_id != ? AND"  # noqa: S608 - constants
                f" NOT EXISTS (SELECT 1 FROM events WHERE {_OF_ALERT})",
                (name, cutoff_s, kept),
            )
        return left <= 0

    def _open_alert(self, machine: str) -> str:
        """The alert of a machine that is open; empty without one.

        It may be dated long ago, because the clock was wrong then. If several are not cleared,
        messages of the others were lost: only the newest can be open.
        """
        row = self._connection.execute(
            "SELECT alert_id FROM alerts WHERE machine = ? AND cleared_unix_s IS NULL"  # noqa: S608 - constants
            f" ORDER BY (SELECT max(position) FROM events WHERE {_OF_ALERT}) DESC LIMIT 1",
            (machine,),
        ).fetchone()
        return "" if row is None else str(row[0])

    def _delete_oldest(self) -> bool:
        """Delete the oldest day of minutes, or the oldest hour if there is only one day.

        If hardly any minutes are left, quarters of an hour are deleted, then hours, events and
        alerts, and then days.
        """
        oldest, newest = self._ends("minutes", _PLAIN)
        if oldest < newest - _HOUR_MIN:
            step = _DAY_MIN if newest - oldest > 2 * _DAY_MIN else _HOUR_MIN
            return self._delete(("minutes",), _PLAIN, oldest - oldest % step + step)
        oldest, newest = self._ends("quarters", "0")
        if oldest < newest - _DAY_MIN:
            next_day = oldest - oldest % _DAY_MIN + _DAY_MIN
            return self._delete(("minutes", "quarters"), _PLAIN, next_day)
        oldest, newest = self._ends("hours", "1")
        if oldest < newest - _DAY_MIN:
            next_day = oldest - oldest % _DAY_MIN + _DAY_MIN
            return self._delete(("minutes", "quarters", "hours"), "1", next_day)
        oldest, newest = self._ends("days", "0")
        return oldest < newest and self._delete(("days",), "0", oldest + _DAY_MIN)

    def _delete(self, tables: Collection[str], kinds: str, end: float) -> bool:
        """Delete everything before a time, in minutes of Unix time."""
        machines = self._connection.execute("SELECT machine_id FROM machines").fetchall()
        with transaction(self._connection):
            for table in tables:
                self._connection.executemany(
                    f"DELETE FROM {table} WHERE machine_id = ? AND start < ?",  # noqa: S608 - constants
                    [(machine_id, end) for (machine_id,) in machines],
                )
                self._connection.execute(
                    "INSERT INTO kept_from VALUES (?, ?) ON CONFLICT (period) DO UPDATE SET"
                    " start = max(start, excluded.start)",
                    (table, end),
                )
            self._connection.execute(
                f"DELETE FROM events WHERE at_unix_s < ? AND {kinds}",  # noqa: S608 - constants
                (end * 60.0,),
            )
            if kinds == "1":
                self._connection.execute(
                    f"DELETE FROM alerts WHERE {_ENDED} < ?",  # noqa: S608 - constants
                    (end * 60.0,),
                )
        return True

    def _give_back(self, pages: int) -> bool:
        """Give free pages back to the file system."""
        if pages <= 0:
            return False
        self._connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return True

    def _ends(self, table: str, kinds: str) -> tuple[float, float]:
        """The oldest and the newest minute in a table and of events; infinite and 0 if empty."""
        queries = [
            query
            for (machine_id,) in self._connection.execute("SELECT machine_id FROM machines")
            for query in (
                f"SELECT min(start) FROM {table} WHERE machine_id = {machine_id}",  # noqa: S608 - numbers
                f"SELECT max(start) FROM {table} WHERE machine_id = {machine_id}",  # noqa: S608 - numbers
            )
        ]
        found = [self._row(query) for query in queries]
        for order in ("ASC", "DESC"):
            event_s = self._row(
                f"SELECT at_unix_s FROM events WHERE {kinds} ORDER BY at_unix_s {order} LIMIT 1"  # noqa: S608 - constants
            )
            found.append(None if event_s is None else event_s // 60)
        known = [one for one in found if one is not None]
        return min(known, default=float("inf")), max(known, default=0.0)

    def _newest(self, machine_id: int) -> float | None:
        return self._row("SELECT max(start) FROM days WHERE machine_id = ?", machine_id)

    def _has_any(self, machine_id: int, name: str) -> bool:
        query = "SELECT 1 FROM events WHERE machine = ? LIMIT 1"
        return self._newest(machine_id) is not None or self._row(query, name) is not None

    def _row(self, query: str, *values: object) -> float | None:
        row = self._connection.execute(query, values).fetchone()
        return None if row is None else row[0]

    def _number(self, query: str) -> int:
        return int(self._connection.execute(query).fetchone()[0])
