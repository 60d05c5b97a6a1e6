"""Alerts that an outbox has, read one by one from another process."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from monitor.alerts import Alert
from monitor.errors import BadInputError
from monitor.outbox.rows import parse_alert
from monitor.outbox.schema import StoreError, connect_to_read, reason_of


class WaitingAlerts:
    """What the file of an outbox has: not delivered, or delivered and not in the history.

    Any thread may use it; the file is opened for each call and never changed. Without a file there
    are no alerts. Every other method than ``stamp`` raises ``BadInputError`` if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def stamp(self) -> object:
        """Something that is another one when the file has changed."""
        return tuple(map(_stamp, (self.path, self.path.with_name(self.path.name + "-wal"))))

    def event_ids(self) -> list[str]:
        """Of all alerts, in the order in which they were added, the delivered ones first."""
        with self._opened() as connection:
            if connection is None:
                return []
            tables = _tables(connection)
            parts = [
                f"SELECT {number} AS part, position, event_id FROM {table}"  # noqa: S608 - constants
                for number, table in enumerate(tables)
            ]
            query = f"{' UNION ALL '.join(parts)} ORDER BY 1, 2"  # one statement: one moment
            return [row[2] for row in connection.execute(query)]

    def alerts(self, event_ids: Sequence[str]) -> list[Alert]:
        """Those of these alerts that are still there and are valid, in any order."""
        with self._opened() as connection:
            if connection is None:
                return []
            names = json.dumps(list(event_ids))
            found = []
            for table in _tables(connection):
                query = (
                    f"SELECT body FROM {table} WHERE event_id IN (SELECT value FROM json_each(?))"  # noqa: S608 - constants
                )
                found += [parse_alert(row[0]) for row in connection.execute(query, (names,))]
            return [alert for alert in found if alert is not None]

    def last_sequences(self) -> dict[str, int]:
        """The ``sequence`` of the newest alert of each machine, also of one that is delivered."""
        with self._opened() as connection:
            if connection is None:
                return {}
            return dict(
                connection.execute("SELECT machine, last_sequence FROM machines").fetchall()
            )

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection | None]:
        """The file, for the time of the block; None if there is none."""
        try:
            if not self.path.exists():
                yield None
                return
            if not self.path.is_file():  # opening a FIFO would wait for ever
                raise BadInputError(f"outbox {self.path}: is not a regular file")
            with contextlib.closing(connect_to_read(self.path)) as connection:
                yield connection
        except (sqlite3.Error, StoreError, OSError) as error:
            raise BadInputError(f"outbox {self.path}: {reason_of(error, self.path)}") from error


def _tables(connection: sqlite3.Connection) -> list[str]:
    """Those with alerts; a file of an earlier version has one."""
    known = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    return [name for name in ("unrecorded", "alerts") if name in known]


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_mtime_ns, status.st_size
