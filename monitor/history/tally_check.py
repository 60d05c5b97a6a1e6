"""Looks for damaged pages among the values of minutes, hours and days, a part at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, ClassVar

from monitor.history.schema import PERIODS
from monitor.history.tally import COLUMNS

_STATE = 2 + COLUMNS.index("state")
_NULLABLE = {2 + COLUMNS.index(name) for name in ("ratio_min", "ratio_max")}
_TABLES = tuple(PERIODS)
_BEFORE_ALL = (-1, -(2**63))


class TallyCheck:
    """Reads every row again and again, because writing does not read a damaged page.

    ``n_rounds``: how often all rows were read.
    """

    ROWS: ClassVar[int] = 2000
    """So many rows are read at a time: some milliseconds."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.n_rounds = 0
        self._connection = connection
        self._table = 0
        self._last = _BEFORE_ALL

    def step(self) -> None:
        """Read the next rows. Raises ``sqlite3.DatabaseError`` if they are damaged."""
        table = _TABLES[self._table]
        rows = self._connection.execute(
            f"SELECT * FROM {table} WHERE (machine_id, start) > (?, ?)"  # noqa: S608 - a constant
            " ORDER BY machine_id, start LIMIT ?",
            (*self._last, self.ROWS),
        ).fetchall()
        for row in rows:
            if not is_tally_row(row) or row[:2] <= self._last:
                error = sqlite3.DatabaseError(f"table {table}: a row has impossible values")
                error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                raise error
            self._last = row[:2]
        if len(rows) < self.ROWS:
            self._table = (self._table + 1) % len(_TABLES)
            self._last = _BEFORE_ALL
            self.n_rounds += self._table == 0


def is_tally_row(row: Sequence[Any]) -> bool:
    """Whether the values of a row of tallies have the types that are written."""
    return all(
        isinstance(value, str)
        if place == _STATE
        else isinstance(value, int) or (value is None and place in _NULLABLE)
        for place, value in enumerate(row)
    )
