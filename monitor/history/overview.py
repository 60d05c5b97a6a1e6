"""The values of a time of any length in few rows, from the table whose rows are long enough."""

from __future__ import annotations

import math
import sqlite3

from monitor.history.records import Minute
from monitor.history.schema import PERIODS, quarters_from
from monitor.history.values import TALLY_SUMS, minute_of, minutes_of

_TALLY = f"start, state, {', '.join(TALLY_SUMS)}"
_JOINED = "start - (start - :first) % :length, state, " + ", ".join(
    f"{'min' if name == 'ratio_min' else 'max' if name == 'ratio_max' else 'sum'}({name})"
    for name in TALLY_SUMS
)
"""As ``_TALLY``, for rows of the same ``:length`` minutes and the same state."""


def overview(
    connection: sqlite3.Connection, machine: str, time_s: tuple[float, float], most_points: int
) -> list[Minute]:
    """At most ``most_points`` rows for a time, as ``HistoryReader.overview`` explains."""
    since_s, until_s = time_s
    least = (until_s - since_s) / 60.0 / most_points
    while True:
        table, length = _resolution(least)
        rows = _kept(connection, table, machine, time_s, length)
        if len(rows) <= most_points:
            return rows
        least = length * 1.1 + 1.0  # because the time begins inside of a row


def _kept(
    connection: sqlite3.Connection,
    table: str,
    machine: str,
    time_s: tuple[float, float],
    length: int,
) -> list[Minute]:
    """As ``periods``; what is deleted in the table is read from that with longer rows.

    What has no quarters yet is read from minutes, or from hours.
    """
    since_s, until_s = time_s
    made_s = 60.0 * quarters_from(connection)
    if table == "quarters" and made_s > since_s:
        earlier = _kept(connection, "minutes", machine, (since_s, min(made_s, until_s)), length)
        if until_s <= made_s:
            return earlier
        return earlier + _kept(connection, table, machine, (made_s, until_s), length)
    row = connection.execute("SELECT start FROM kept_from WHERE period = ?", (table,)).fetchone()
    kept_s = since_s if row is None else 60.0 * row[0]
    after_minutes = "hours" if made_s > since_s else "quarters"
    longer = {"minutes": after_minutes, "quarters": "hours", "hours": "days"}.get(table)
    if kept_s <= since_s or longer is None:
        return periods(connection, table, machine, time_s, length)
    longest = -(-length // PERIODS[longer]) * PERIODS[longer]
    earlier = _kept(connection, longer, machine, (since_s, min(kept_s, until_s)), longest)
    if until_s <= kept_s:
        return earlier
    return earlier + periods(connection, table, machine, (kept_s, until_s), length)


def periods(
    connection: sqlite3.Connection,
    table: str,
    machine: str,
    time_s: tuple[float, float],
    length: int,
) -> list[Minute]:
    """Rows of ``table`` joined to ``length`` minutes."""
    since_s, until_s = time_s
    is_joined = length != PERIODS[table]
    query = (
        f"SELECT {_JOINED if is_joined else _TALLY} FROM {table}"  # noqa: S608 - constants
        " WHERE machine_id = (SELECT machine_id FROM machines WHERE name = :machine)"
        f" AND start >= :first AND start < :end {'GROUP BY 1, 2' if is_joined else ''} ORDER BY 1"
    )
    first, end = first_row(table, since_s), math.ceil(until_s / 60.0)
    values = {"machine": machine, "first": first, "end": end, "length": length}
    rows = connection.execute(query, values)
    return list(minutes_of(rows, length)) if is_joined else [minute_of(row, length) for row in rows]


def _resolution(least: float) -> tuple[str, int]:
    """The table for rows of at least so many minutes, and their minutes."""
    lengths = {one: max(1, math.ceil(least / PERIODS[one])) * PERIODS[one] for one in PERIODS}
    table = next((one for one in reversed(PERIODS) if PERIODS[one] <= least), "minutes")
    # A table with longer rows is read more quickly, if they are not longer than these.
    best = next(one for one in reversed(PERIODS) if lengths[one] == lengths[table])
    return best, lengths[best]


def first_row(table: str, since_s: float) -> int:
    """Where the row of ``table`` that contains a time begins."""
    minute = math.floor(since_s / 60.0)
    return minute - minute % PERIODS[table]
