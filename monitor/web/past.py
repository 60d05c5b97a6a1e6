"""The history, read in threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from monitor.errors import BadInputError, MissingInputError
from monitor.history.reader import HistoryReader
from monitor.history.records import AlertRecord, Event, Minute
from monitor.web.work import Workers

T = TypeVar("T")

FILE_NAME = "history.sqlite3"
SPARK_MINUTES = 15
SPARK_POINTS = 96
SPARK_MOST_ALERTS = 1000


class Past:
    """Every method returns nothing where there is no history or it cannot be read.

    ``trouble``: why, in one line; empty if there is none.
    """

    SPARKLINES_S: ClassVar[float] = 60.0
    """How long the sparklines are used before they are read again."""

    def __init__(self, state_dir: Path, workers: Workers) -> None:
        self._reader = HistoryReader(state_dir / FILE_NAME)
        self._workers = workers
        self._sparklines: dict[str, dict[str, Any]] = {}
        self._sparklines_s = float("-inf")
        self.trouble = ""

    async def machines(self) -> list[str]:
        """The machines that have a history."""
        return await self._read(self._reader.machines, [])

    async def minutes(
        self, machine: str, since_s: float, until_s: float, most_points: int
    ) -> list[Minute]:
        """At most ``most_points`` rows of a machine, oldest first."""
        return await self._read(
            lambda: self._reader.overview(machine, since_s, until_s, most_points), []
        )

    async def events(self, **conditions: Any) -> list[Event]:
        """The newest events first, as ``HistoryReader.events``."""
        return await self._read(lambda: self._reader.events(**conditions), [])

    async def alerts(self, **conditions: Any) -> list[AlertRecord]:
        """The newest alerts first, as ``HistoryReader.alerts``."""
        return await self._read(lambda: self._reader.alerts(**conditions), [])

    async def alert(self, alert_id: str) -> AlertRecord | None:
        """One alert."""
        return await self._read(lambda: self._reader.alert(alert_id), None)

    async def sparklines(self, machines: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The quarters of an hour of the last day by machine, oldest first.

        ``ratio_max``: the highest ratio of each, None where nothing was scored. ``alerts``: the
        positions of those in which an alert was open.
        """
        is_known = all(machine in self._sparklines for machine in machines)
        if not is_known or time.monotonic() - self._sparklines_s >= self.SPARKLINES_S:
            self._sparklines_s = time.monotonic()
            now_s = time.time()
            self._sparklines = await self._read(lambda: self._drawn(machines, now_s), {})
        return self._sparklines

    def _drawn(self, machines: Sequence[str], now_s: float) -> dict[str, dict[str, Any]]:
        quarter_s = SPARK_MINUTES * 60
        first = int(now_s // quarter_s) - SPARK_POINTS + 1
        since_s = float(first * quarter_s)
        positions: dict[str, set[int]] = {}
        for alert in self._reader.alerts(since_s=since_s, limit=SPARK_MOST_ALERTS):
            begins_s = max(since_s, alert.raised_unix_s)
            ends_s = min(now_s, alert.cleared_unix_s or now_s)
            quarters = range(int(begins_s // quarter_s), int(ends_s // quarter_s) + 1)
            positions.setdefault(alert.machine, set()).update(one - first for one in quarters)
        since_s = first * SPARK_MINUTES * 60.0
        # Two more points than needed: otherwise the rows would be longer than a quarter.
        rows = self._reader.overviews(machines, since_s, now_s, SPARK_POINTS + 2)
        return {
            one: {
                "ratio_max": _ratios(rows[one], first),
                "alerts": sorted(positions.get(one, ())),
            }
            for one in machines
        }

    async def _read(self, read: Callable[[], T], otherwise: T) -> T:
        try:
            found = await self._workers.run(read)
        except (MissingInputError, BadInputError) as error:
            # A node that has just been installed has no history yet: that is no trouble.
            self.trouble = "" if isinstance(error, MissingInputError) else error.lines[0]
            return otherwise
        self.trouble = ""
        return found


def _ratios(rows: Sequence[Minute], first: int) -> list[float | None]:
    """The highest ratio of each quarter of an hour from ``first`` on."""
    found: list[float | None] = [None] * SPARK_POINTS
    for row in rows:
        position = row.minute // SPARK_MINUTES - first
        if row.ratio_max is not None and 0 <= position < SPARK_POINTS:
            found[position] = max(row.ratio_max, found[position] or 0.0)
    return found


def minute_document(row: Minute) -> dict[str, Any]:
    """A row of the history as JSON."""
    return row._asdict()


def event_document(event: Event) -> dict[str, Any]:
    """An event as JSON."""
    return asdict(event)


def alert_document(alert: AlertRecord) -> dict[str, Any]:
    """An alert as JSON, with the time when its fault began."""
    began = alert.payload.get("started_at")
    return {**asdict(alert), "fault_began_at": began if isinstance(began, str) else alert.raised_at}
