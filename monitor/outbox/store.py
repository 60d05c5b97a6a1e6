"""The SQLite file of the outbox, and alerts and machine states as its rows."""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from monitor.alerts import Alert, AlertSeries, alert_from_json, alert_to_dict
from monitor.errors import BadInputError


def to_stored_alert(alert: Alert, appended_unix_s: float) -> StoredAlert:
    """The row that keeps an alert."""
    body = json.dumps(alert_to_dict(alert), separators=(",", ":"))
    return StoredAlert(alert.event_id, alert.machine, alert.kind, appended_unix_s, body)


def to_stored_machine(name: str, series: AlertSeries) -> StoredMachine:
    """The row that keeps the newest number and the open alert of a machine."""
    opened = json.dumps(alert_to_dict(series.open)) if series.open else None
    return StoredMachine(name, series.last_sequence, opened)


def parse_alert(body: object) -> Alert | None:
    """The alert in a row's JSON, or ``None`` when the row does not hold one."""
    if not isinstance(body, str):
        return None
    try:
        return alert_from_json(body)
    except BadInputError:
        return None


_APPLICATION_ID = 0x41554F42  # "AUOB"
_SCHEMA_VERSION = 1
_BUSY_TIMEOUT_S = 2.0
_RESERVE_BYTES = 1 << 20
_CHECKPOINT_PAGES = 128  # keeps the write-ahead log well inside the reserve
_PLAUSIBLE_UNIX_S = 1_577_836_800  # 2020: an older stamp is a board that had no clock yet

_SCHEMA = f"""
CREATE TABLE machines (
    machine TEXT PRIMARY KEY, last_sequence INTEGER NOT NULL, open_alert TEXT
) WITHOUT ROWID;
CREATE TABLE alerts (
    position INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, machine TEXT NOT NULL,
    kind TEXT NOT NULL, appended_unix_s REAL NOT NULL, body TEXT NOT NULL
);
CREATE INDEX alerts_by_machine ON alerts (machine, position);
CREATE INDEX alerts_by_kind ON alerts (kind, position);
CREATE TABLE drops (
    machine TEXT NOT NULL, kind TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (machine, kind)
) WITHOUT ROWID;
CREATE TABLE reserve (filler BLOB);
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_SCHEMA_VERSION};
"""


class StoreError(Exception):
    """The file cannot be used as an outbox, though SQLite may open it."""


class StoreDamagedError(StoreError):
    """The file is not the database that it should be."""


class StoreTooNewError(StoreError):
    """The file was made by a later version, whose tables this one does not know."""


@dataclass(frozen=True, slots=True)
class StoredMachine:
    """A row of ``machines``; ``open_alert`` is JSON or ``None``."""

    machine: str
    last_sequence: int
    open_alert: str | None


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """A row of ``alerts`` but its position; ``body`` is the alert's JSON."""

    event_id: str
    machine: str
    kind: str
    appended_unix_s: float
    body: str


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that the file itself is broken, not that writing it failed."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, StoreDamagedError) or code in {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }


class OutboxStore:
    """One open database. Every method raises ``sqlite3.Error`` as it comes.

    Not thread-safe: its owner holds a lock. ``writable`` is false for a store that
    was opened only to be read.
    """

    def __init__(self, connection: sqlite3.Connection, *, writable: bool) -> None:
        self._connection = connection
        self.writable = writable

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create for writing, durable on commit; a full disk is no obstacle.

        Raises ``sqlite3.Error`` when it cannot be written, ``StoreDamagedError`` or
        ``StoreTooNewError`` for a file that is not ours to write, and ``OSError`` when
        the folder cannot be made.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _create(path)
        connection = sqlite3.connect(
            path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            _verify(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            store = cls(connection, writable=True)
            store._reserve_space()
        except BaseException:
            connection.close()
            raise
        return store

    @classmethod
    def open_read_only(cls, path: Path) -> Self:
        """Open for reading beside a running daemon or on a disk that cannot be written."""
        # Without a log beside it the file is complete, and opening it in the plain way
        # would leave a log and its index behind, or fail where the folder is read-only.
        has_log = path.with_name(path.name + "-wal").exists()
        connection = sqlite3.connect(
            path.resolve().as_uri() + ("?mode=ro" if has_log else "?mode=ro&immutable=1"),
            uri=True,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _verify(connection, check_pages=False)
        except BaseException:
            connection.close()
            raise
        return cls(connection, writable=False)

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, on the disk when the block is left."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after a full disk or an I/O error.
            if self._connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
            raise

    def machines(self) -> list[StoredMachine]:
        rows = self._connection.execute("SELECT machine, last_sequence, open_alert FROM machines")
        return [StoredMachine(*row) for row in rows]

    def put_machines(self, rows: Iterable[StoredMachine]) -> None:
        self._connection.executemany(
            "INSERT INTO machines VALUES (?, ?, ?) ON CONFLICT (machine) DO UPDATE SET"
            " last_sequence = excluded.last_sequence, open_alert = excluded.open_alert",
            [(row.machine, row.last_sequence, row.open_alert) for row in rows],
        )

    def insert(self, alerts: Iterable[StoredAlert]) -> None:
        """Add at the end. An ``event_id`` that is there already is left as it is: a commit
        that was reported as failed may still have reached the disk."""
        self._connection.executemany(
            "INSERT OR IGNORE INTO alerts (event_id, machine, kind, appended_unix_s, body)"
            " VALUES (?, ?, ?, ?, ?)",
            [(a.event_id, a.machine, a.kind, a.appended_unix_s, a.body) for a in alerts],
        )

    def delete(self, event_ids: Iterable[str]) -> None:
        self._connection.executemany(
            "DELETE FROM alerts WHERE event_id = ?", [(event_id,) for event_id in event_ids]
        )

    def alerts(self, limit: int, machine: str | None = None) -> list[StoredAlert]:
        """The oldest ``limit`` alerts, of one machine or of all, in order."""
        if machine is None:
            return self.oldest(limit, only_updated=False)
        rows = self._connection.execute(
            "SELECT event_id, machine, kind, appended_unix_s, body FROM alerts"
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
        query = (
            "SELECT event_id, machine, kind, appended_unix_s, body FROM alerts"
            " WHERE kind = 'updated' ORDER BY position LIMIT ?"
            if only_updated
            else "SELECT event_id, machine, kind, appended_unix_s, body FROM alerts"
            " ORDER BY position LIMIT ?"
        )
        rows = self._connection.execute(query, (limit,))
        return [StoredAlert(*row) for row in rows]

    def appended_before(self, unix_s: float, limit: int = 1000) -> list[StoredAlert]:
        """Alerts older than that, but those stamped by a clock that was not yet set."""
        rows = self._connection.execute(
            "SELECT event_id, machine, kind, appended_unix_s, body FROM alerts"
            " WHERE appended_unix_s >= ? AND appended_unix_s < ? ORDER BY position LIMIT ?",
            (_PLAUSIBLE_UNIX_S, unix_s, limit),
        )
        return [StoredAlert(*row) for row in rows]

    def drops(self) -> Counter[tuple[str, str]]:
        """How many alerts were ever given up, by machine and kind."""
        rows = self._connection.execute("SELECT machine, kind, number FROM drops")
        return Counter({(machine, kind): number for machine, kind, number in rows})

    def put_drops(self, drops: Counter[tuple[str, str]]) -> None:
        self._connection.executemany(
            "INSERT INTO drops VALUES (?, ?, ?) ON CONFLICT (machine, kind) DO UPDATE SET"
            " number = excluded.number",
            [(machine, kind, number) for (machine, kind), number in drops.items()],
        )

    def _reserve_space(self) -> None:
        """Fill pages and free them again, so that a full disk still takes the next alerts.

        The freed pages stay in the file, and the write-ahead log keeps the size that
        the filler gave it. Random bytes, because a compressing file system would give
        zeros no room. Without space for it there is just no reserve.
        """
        filler = secrets.token_bytes(_RESERVE_BYTES)
        free_pages = self._connection.execute("PRAGMA freelist_count").fetchone()[0]
        page_bytes = self._connection.execute("PRAGMA page_size").fetchone()[0]
        if free_pages * page_bytes >= _RESERVE_BYTES // 2:
            # The file has its reserve; the log does not outlive an orderly close.
            filler = filler[: (_CHECKPOINT_PAGES + 32) * page_bytes]
        try:
            with self.transaction():
                self._connection.execute("INSERT INTO reserve VALUES (?)", (filler,))
            with self.transaction():
                self._connection.execute("DELETE FROM reserve")
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise


def _create(path: Path) -> None:
    """Make an empty database under another name first, so that ``path`` is never half of one."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
    unfinished.rename(path)


def _verify(connection: sqlite3.Connection, *, check_pages: bool = True) -> None:
    """Raise unless this is an undamaged database of this schema."""
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application_id != _APPLICATION_ID or version < 1:
        raise StoreDamagedError("it is empty or not an outbox")
    if version > _SCHEMA_VERSION:
        raise StoreTooNewError(f"its schema is {version}, this version knows {_SCHEMA_VERSION}")
    if check_pages:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise StoreDamagedError(verdict.splitlines()[0])
