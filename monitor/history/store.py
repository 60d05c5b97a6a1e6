"""The SQLite file of the history, opened for writing."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monitor.durable import transaction
from monitor.history.alert_rows import update_alert
from monitor.history.filling import Filling
from monitor.history.records import Event
from monitor.history.retention import Limits, Retention
from monitor.history.schema import PERIODS, open_to_write
from monitor.history.tally import COLUMNS, Tally
from monitor.history.tally_check import TallyCheck

_VALUES = ", ".join("?" * (2 + len(COLUMNS)))
_SUMS = [name for name in COLUMNS if name not in {"ratio_min", "ratio_max", "state", "state_time"}]


def _smallest(function: str, name: str) -> str:
    """The smaller or larger of two values of which each may be NULL."""
    own, new = name, f"excluded.{name}"
    return f"{name} = {function}(coalesce({own}, {new}), coalesce({new}, {own}))"


# As ``Tally.add``.
_MERGE = ", ".join(
    (
        _smallest("min", "ratio_min"),
        _smallest("max", "ratio_max"),
        *(f"{name} = {name} + excluded.{name}" for name in _SUMS),
        "state = iif(excluded.state_time > state_time, excluded.state, state)",
        "state_time = abs(state_time + iif(state = excluded.state, 1, -1) * excluded.state_time)",
    )
)


class HistoryStore:
    """One open file. Every method may raise ``sqlite3.Error``. Used by one thread.

    The constructor raises as ``open_to_write``. ``is_new``: whether the file did not exist before.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection, self._held, self.is_new = open_to_write(path)
        self._machines: dict[str, int] = {}
        self._retention = Retention(self._connection)
        self._tally_check = TallyCheck(self._connection)
        self._filling = Filling(self._connection)

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        self._held.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """To read; no transaction is open between two calls."""
        return self._connection

    def is_in_place(self) -> bool:
        """Whether the file still has its name, and no other one."""
        return self._held.is_at(self.path)

    def check_header(self) -> None:
        """Raise ``sqlite3.DatabaseError`` if another program has overwritten the file."""
        self._held.check_header(may_be_empty=True)

    def write(
        self, minutes: Mapping[tuple[str, int], Tally], events: Iterable[Event], *, durable: bool
    ) -> None:
        """Add values of minutes and events, all or nothing.

        ``minutes``: by machine and minute; they are added to what is there. An event whose
        ``event_id`` exists is not written again. ``durable``: on the disk when this returns.
        """
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        known = len(self._machines)
        try:
            with transaction(self._connection):
                self._add_minutes(minutes)
                for event in events:
                    self._add_event(event)
        except BaseException:
            if len(self._machines) != known:  # their rows were not written
                self._machines.clear()
            raise

    def shrink(self, limits: Limits) -> bool:
        """Do a part of what keeps the file within its bytes; whether there is more to do."""
        return self._retention.shrink(limits)

    def expire(self, limits: Limits, now_s: float, monitored: Collection[str]) -> bool:
        """Delete a part of what is too old; whether there is more to do."""
        self._machines.clear()  # one without any values is deleted
        return self._retention.expire(limits, now_s, monitored)

    def cut_log(self) -> None:
        """Empty the log, if no reader uses it."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def check(self) -> None:
        """Raise ``sqlite3.DatabaseError`` if events or alerts cannot be read.

        Writing at the end of a table does not notice a damaged page in its middle.
        """
        for table in ("events", "alerts", "machines", "kept_from"):
            found = self._connection.execute(f"PRAGMA quick_check({table})").fetchone()[0]
            if found != "ok":
                error = sqlite3.DatabaseError(f"table {table}: {found.splitlines()[-1]}")
                error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                raise error

    def check_tallies(self) -> None:
        """Raise ``sqlite3.DatabaseError`` if the next part of the tallies cannot be read."""
        self._tally_check.step()

    def fill(self) -> bool:
        """Make a part of the quarters that an earlier version did not; whether there are more."""
        return self._filling.step()

    def fill_all(self) -> None:
        """Make all quarters again, from the minutes."""
        self._filling.begin()

    def restore(self, table: str, machine: str, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows of tallies that were read from another file: ``start`` and ``COLUMNS``."""
        with transaction(self._connection):
            machine_id = self._machine_id(machine)
            self._connection.executemany(
                f"INSERT OR IGNORE INTO {table} VALUES ({_VALUES})",  # noqa: S608 - constants
                [(machine_id, *row) for row in rows],
            )

    def last_position(self) -> int:
        """The position of the event that was written last; 0 without any."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence").fetchone()
        return int(row[0]) if row else 0

    def begin_positions_at(self, position: int) -> None:
        """Give the next event a position above ``position``, and put all on the disk."""
        self._connection.execute("PRAGMA synchronous = FULL")
        with transaction(self._connection):
            self._connection.execute("DELETE FROM sqlite_sequence WHERE name = 'events'")
            self._connection.execute(
                "INSERT INTO sqlite_sequence VALUES ('events', ?)", (position,)
            )

    def _add_minutes(self, minutes: Mapping[tuple[str, int], Tally]) -> None:
        for table, length in PERIODS.items():
            joined: dict[tuple[int, int], Tally] = {}
            for (machine, minute), tally in minutes.items():
                if table == "quarters" and minute < (self._filling.until or minute):
                    continue  # it is made of its minutes, with this one
                key = self._machine_id(machine), minute - minute % length
                joined.setdefault(key, Tally()).add(tally)
            self._connection.executemany(
                f"INSERT INTO {table} VALUES ({_VALUES})"  # noqa: S608 - constants
                f" ON CONFLICT (machine_id, start) DO UPDATE SET {_MERGE}",
                [
                    (*key, *(getattr(tally, name) for name in COLUMNS))
                    for key, tally in joined.items()
                ],
            )

    def _machine_id(self, name: str) -> int:
        if name not in self._machines:
            self._connection.execute("INSERT OR IGNORE INTO machines (name) VALUES (?)", (name,))
            row = self._connection.execute(
                "SELECT machine_id FROM machines WHERE name = ?", (name,)
            ).fetchone()
            self._machines[name] = row[0]
        return self._machines[name]

    def _add_event(self, event: Event) -> None:
        if event.machine:
            self._machine_id(event.machine)  # a machine is known by its events as well
        payload = json.dumps(event.payload, separators=(",", ":"))
        written = self._connection.execute(
            "INSERT OR IGNORE INTO events (position, at, at_unix_s, machine, kind, alert_id,"
            " event_id, value, user, note, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                event.position or None,
                *(event.at, event.at_unix_s, event.machine, event.kind, event.alert_id),
                *(event.event_id, event.value, event.user, event.note, payload),
            ),
        )
        if written.rowcount and event.alert_id:
            update_alert(self._connection, event, payload)
