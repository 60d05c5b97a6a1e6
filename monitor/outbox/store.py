"""The SQLite file of the outbox."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple
from pathlib import Path
from typing import Self

from monitor.clock import Moment
from monitor.durable import connect, reserve_space, transaction, use_log
from monitor.outbox.rows import StoredAlert, StoredMachine
from monitor.outbox.schema import (
    BUSY_TIMEOUT_S,
    alert_columns,
    connect_to_read,
    create,
    extend,
    machines_query,
    unrecorded_query,
    verify,
)

_RESERVE_BYTES = 3 << 19
_CHECKPOINT_PAGES = 128  # keeps the write-ahead log much smaller than the reserve
_MOST_BOOTS = 1000


class OutboxStore:
    """One open database. Every method may raise ``sqlite3.Error``.

    Not thread-safe: the caller must hold a lock. ``writable`` is false for a store that
    was opened for reading.
    """

    def __init__(self, connection: sqlite3.Connection, *, writable: bool) -> None:
        self._connection = connection
        self.writable = writable
        self._alert_columns = alert_columns(connection)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create for writing; also works on a full disk. Each commit is durable.

        Raises ``sqlite3.Error`` when it cannot be written, ``StoreDamagedError`` or
        ``StoreTooNewError`` for a file that must not be written, and ``OSError`` when
        the folder cannot be made.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            create(path)
        connection = connect(path, timeout_s=BUSY_TIMEOUT_S)
        try:
            verify(connection)
            use_log(connection, checkpoint_pages=_CHECKPOINT_PAGES)
            extend(connection)
            store = cls(connection, writable=True)
            reserve_space(connection, _RESERVE_BYTES, checkpoint_pages=_CHECKPOINT_PAGES)
        except BaseException:
            connection.close()
            raise
        return store

    @classmethod
    def open_read_only(cls, path: Path) -> Self:
        """Open for reading, beside a running daemon or on a read-only disk."""
        return cls(connect_to_read(path), writable=False)

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """All or nothing; on the disk when the block ends."""
        return transaction(self._connection)

    def machines(self) -> list[StoredMachine]:
        rows = self._connection.execute(machines_query(self._connection))
        return [StoredMachine(*row) for row in rows]

    def put_machines(self, rows: Iterable[StoredMachine]) -> None:
        known = list(rows)
        self._connection.executemany(
            "INSERT INTO machines VALUES (?, ?, ?) ON CONFLICT (machine) DO UPDATE SET"
            " last_sequence = excluded.last_sequence, open_alert = excluded.open_alert",
            [(row.machine, row.last_sequence, row.open_alert) for row in known],
        )
        self._connection.executemany(
            "INSERT OR REPLACE INTO machine_times VALUES (?, ?, ?, ?, ?)",
            [
                (row.machine, row.dated_unix_s, row.steady_s, row.boot_id, row.dated_by_clock)
                for row in known
            ],
        )

    def insert(self, alerts: Iterable[StoredAlert]) -> None:
        """Add alerts at the end, but none that exists: a failed commit may have written it."""
        self._insert("alerts", alerts)

    def delete(self, event_ids: Iterable[str]) -> None:
        self._delete("alerts", event_ids)

    def insert_unrecorded(self, alerts: Iterable[StoredAlert]) -> None:
        """Add alerts that were delivered and are not recorded; one that exists is not added."""
        self._insert("unrecorded", alerts)

    def delete_unrecorded(self, event_ids: Iterable[str]) -> None:
        self._delete("unrecorded", event_ids)

    def unrecorded(self, limit: int) -> list[StoredAlert]:
        """The oldest alerts that were delivered and are not recorded, in order."""
        rows = self._connection.execute(unrecorded_query(self._connection), (limit,))
        return [StoredAlert(*row) for row in rows]

    def alert(self, event_id: str) -> StoredAlert | None:
        """One alert that is not delivered."""
        row = self._connection.execute(
            f"SELECT {self._alert_columns} FROM alerts WHERE event_id = ?",  # noqa: S608 - constants
            (event_id,),
        ).fetchone()
        return None if row is None else StoredAlert(*row)

    def alerts_after(self, position: int, limit: int) -> tuple[list[StoredAlert], int]:
        """The next alerts in order, and the position of the last one; 0 if these are the last."""
        rows = self._connection.execute(
            f"SELECT {self._alert_columns}, position FROM alerts"  # noqa: S608 - constants
            " WHERE position > ? ORDER BY position LIMIT ?",
            (position, limit),
        ).fetchall()
        is_last = len(rows) < limit
        return [StoredAlert(*row[:-1]) for row in rows], 0 if is_last else rows[-1][-1]

    def alerts(self, limit: int, machine: str | None = None) -> list[StoredAlert]:
        """The oldest ``limit`` alerts, of one machine or of all, in order."""
        if machine is None:
            return self.oldest(limit, only_updated=False)
        rows = self._connection.execute(
            f"SELECT {self._alert_columns} FROM alerts"  # noqa: S608 - constants
            " WHERE machine = ? ORDER BY position LIMIT ?",
            (machine, limit),
        )
        return [StoredAlert(*row) for row in rows]

    def machine_of(self, event_id: str) -> str | None:
        row = self._connection.execute(
            "SELECT machine FROM alerts WHERE event_id = ?", (event_id,)
        ).fetchone()
        return None if row is None else row[0]

    def counts(self) -> Counter[str]:
        """Alerts per machine."""
        rows = self._connection.execute("SELECT machine, count(*) FROM alerts GROUP BY machine")
        return Counter(dict(rows.fetchall()))

    def oldest(self, limit: int, *, only_updated: bool) -> list[StoredAlert]:
        """The alerts that may be dropped first."""
        where = "WHERE kind = 'updated'" if only_updated else ""
        query = f"SELECT {self._alert_columns} FROM alerts {where} ORDER BY position LIMIT ?"  # noqa: S608 - constants
        rows = self._connection.execute(query, (limit,))
        return [StoredAlert(*row) for row in rows]

    def older_than(self, age_s: float, now: Moment, limit: int = 1000) -> list[StoredAlert]:
        """Alerts of earlier boots that are older than ``age_s``.

        Age is the time that this computer ran since the alert was added: the system clock may
        be wrong, before or now. The time for which it was off is not counted.
        """
        boots = self._connection.execute(
            "SELECT boot_id, last_steady_s FROM boots WHERE boot_id != ? ORDER BY position DESC",
            (now.boot_id,),
        ).fetchall()
        found: list[StoredAlert] = []
        ran_s = now.steady_s
        for boot_id, last_steady_s in boots:
            rows = self._connection.execute(
                f"SELECT {self._alert_columns} FROM alerts"  # noqa: S608 - constants
                " WHERE boot_id = ? AND steady_s < ? ORDER BY position LIMIT ?",
                (boot_id, last_steady_s + ran_s - age_s, limit),
            )
            found += [StoredAlert(*row) for row in rows]
            ran_s += last_steady_s
        return found[:limit]

    def put_boot(self, now: Moment) -> None:
        """Note that this boot was running until now."""
        self._connection.execute(
            "INSERT INTO boots (boot_id, last_steady_s) VALUES (?, ?)"
            " ON CONFLICT (boot_id) DO UPDATE SET last_steady_s = excluded.last_steady_s",
            (now.boot_id, now.steady_s),
        )
        self._connection.execute(
            "DELETE FROM boots WHERE position <= (SELECT max(position) FROM boots) - ?",
            (_MOST_BOOTS,),
        )

    def adopt_undated(self, now: Moment) -> None:
        """Count the age of alerts that an earlier version wrote from now on."""
        undated = self._connection.execute(
            "SELECT 1 FROM alerts WHERE boot_id IS NULL LIMIT 1"
        ).fetchone()
        if undated is None:
            return
        # A boot of no length before this one: their own times are not known on its clock.
        name = f"before {now.boot_id}"
        self._connection.execute("INSERT OR IGNORE INTO boots VALUES (NULL, ?, 0.0)", (name,))
        self._connection.execute(
            "UPDATE alerts SET steady_s = ?, boot_id = ? WHERE boot_id IS NULL",
            (now.steady_s, name),
        )

    def drops(self) -> Counter[tuple[str, str]]:
        """How many alerts were ever dropped, by machine and kind."""
        rows = self._connection.execute("SELECT machine, kind, number FROM drops")
        return Counter({(machine, kind): number for machine, kind, number in rows})

    def put_drops(self, drops: Counter[tuple[str, str]]) -> None:
        self._connection.executemany(
            "INSERT INTO drops VALUES (?, ?, ?) ON CONFLICT (machine, kind) DO UPDATE SET"
            " number = excluded.number",
            [(machine, kind, number) for (machine, kind), number in drops.items()],
        )

    def _insert(self, table: str, alerts: Iterable[StoredAlert]) -> None:
        self._connection.executemany(
            f"INSERT OR IGNORE INTO {table}"  # noqa: S608 - constants
            " (event_id, machine, kind, appended_unix_s, body, steady_s, boot_id, dated_by_clock)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [astuple(alert) for alert in alerts],
        )

    def _delete(self, table: str, event_ids: Iterable[str]) -> None:
        query = f"DELETE FROM {table} WHERE event_id = ?"  # noqa: S608 - constants
        self._connection.executemany(query, [(event_id,) for event_id in event_ids])
