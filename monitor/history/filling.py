"""Makes the values of quarters of an hour from those of minutes, for a file that has none.

A file of an earlier version has minutes, hours and days. The newest quarters are made first, a part
at a time, while the daemon runs; until then, readers join minutes.
"""

from __future__ import annotations

import sqlite3
from typing import Any, ClassVar

from monitor.durable import transaction
from monitor.history.schema import FILLING, PERIODS, after
from monitor.history.tally import COLUMNS, Tally

_LENGTH = PERIODS["quarters"]
_VALUES = ", ".join("?" * (2 + len(COLUMNS)))


class Filling:
    """The work on one file. Every method may raise ``sqlite3.Error``.

    ``until``: quarters that begin earlier are not made yet, in minutes of Unix time; None if all
    are made.
    """

    ROWS: ClassVar[int] = 5000
    """So many minutes are read at a time: some hundredths of a second."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        row = connection.execute("SELECT start FROM kept_from WHERE period = ?", (FILLING,))
        found = row.fetchone()
        self.until: int | None = None if found is None else found[0]

    def begin(self) -> None:
        """All quarters have to be made."""
        newest = self._newest_minute(2**62)
        if newest is not None:
            until = after(newest)
            with transaction(self._connection):
                self._connection.execute(
                    "INSERT OR REPLACE INTO kept_from VALUES (?, ?)", (FILLING, until)
                )
            self.until = until

    def step(self) -> bool:
        """Make the next quarters; whether there are more."""
        if self.until is None:
            return False
        newest = self._newest_minute(self.until)
        machines = [row[0] for row in self._connection.execute("SELECT machine_id FROM machines")]
        with transaction(self._connection):
            if newest is None:
                self._end()
                return False
            end = after(newest)
            n_quarters = max(1, self.ROWS // (_LENGTH * max(1, len(machines))))
            start = end - n_quarters * _LENGTH
            for machine_id in machines:
                self._make(machine_id, start, end)
            self._connection.execute(
                "UPDATE kept_from SET start = ? WHERE period = ?", (start, FILLING)
            )
        self.until = start
        return True

    def _make(self, machine_id: int, start: int, end: int) -> None:
        columns = ", ".join(COLUMNS)
        quarters: dict[int, Tally] = {}
        for minute, *values in self._connection.execute(
            f"SELECT start, {columns} FROM minutes"  # noqa: S608 - constants
            " WHERE machine_id = ? AND start >= ? AND start < ? ORDER BY start",
            (machine_id, start, end),
        ):
            quarter = quarters.setdefault(minute - minute % _LENGTH, Tally())
            quarter.add(Tally(*values))
        rows: list[tuple[Any, ...]] = [
            (machine_id, quarter, *(getattr(tally, name) for name in COLUMNS))
            for quarter, tally in quarters.items()
        ]
        self._connection.executemany(
            f"INSERT OR REPLACE INTO quarters VALUES ({_VALUES})",  # noqa: S608 - constants
            rows,
        )

    def _end(self) -> None:
        """Quarters are complete from where on minutes are."""
        self._connection.execute("DELETE FROM kept_from WHERE period = ?", (FILLING,))
        self._connection.execute(
            "INSERT OR IGNORE INTO kept_from SELECT 'quarters', start FROM kept_from"
            " WHERE period = 'minutes'"
        )
        self.until = None

    def _newest_minute(self, before: int) -> int | None:
        """The newest minute of all machines that is before another one; None without any."""
        row = self._connection.execute(
            "SELECT max((SELECT start FROM minutes WHERE machine_id = machines.machine_id"
            " AND start < ? ORDER BY start DESC LIMIT 1)) FROM machines",
            (before,),
        ).fetchone()
        newest: int | None = row[0]
        return newest
