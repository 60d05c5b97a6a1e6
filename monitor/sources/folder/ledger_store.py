"""The rows of a ledger: on the disk, and in memory while the disk cannot be used."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from pathlib import Path
from typing import Any

from monitor.durable import remove_log, transaction
from monitor.sources.folder.ledger_file import (
    DISPLACE,
    FORGET,
    STORE,
    copy_entries,
    open_ledger_file,
)

log = logging.getLogger(__name__)

_RETRY_S = 1.0


class LedgerStore:
    """The file of a ledger. Used by one thread.

    ``path``: None for memory only. Space for the next entries is reserved in the file. A disk
    that still cannot be written or read is reported in the log once; the rows are then kept in
    memory, and are written as soon as the disk accepts them. A damaged file is renamed.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._is_on_disk = path is not None
        self._next_try_s = 0.0
        self._connection = self._connect(path)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def put(self, row: tuple[object, ...], *, at_once: bool) -> None:
        """Store the entry of a file. ``at_once``: it must also survive a power failure."""
        self._return_to_disk()
        synchronous = f"PRAGMA synchronous = {'FULL' if at_once else 'NORMAL'}"
        try:
            self._connection.execute(synchronous)
            self._connection.execute(STORE, row)
        except sqlite3.Error as error:
            self._continue_in_memory(error)
            self._connection.execute(STORE, row)

    def displace(self, row: tuple[object, ...]) -> None:
        """Keep an entry that the next ``put`` replaces; the oldest of them are forgotten."""
        with contextlib.suppress(sqlite3.Error):  # the next entry reports a disk that fails
            self._connection.execute(DISPLACE, row)
            self._connection.execute(FORGET)

    def rows(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """The result of a query; of what can be read, if the disk fails."""
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            self._continue_in_memory(error)
            return self._connection.execute(query, values).fetchall()

    def select(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """The result of a query. A damaged file is renamed, and its rows are lost."""
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            self._connection.close()
            self._put_aside(error)
            self._connection = self._connect(self._path)
            return self._connection.execute(query, values).fetchall()

    def _put_aside(self, error: sqlite3.Error) -> None:
        if self._path is None:
            return
        log.error("%s: damaged (%s); the files of the folder are read again", self._path, error)
        with contextlib.suppress(OSError):
            self._path.rename(self._path.with_name(self._path.name + ".damaged"))
            remove_log(self._path)

    def _connect(self, path: Path | None) -> sqlite3.Connection:
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                return open_ledger_file(str(path))
            except sqlite3.DatabaseError as error:
                if not isinstance(error, sqlite3.OperationalError):
                    self._put_aside(error)
                    with contextlib.suppress(sqlite3.Error):
                        return open_ledger_file(str(path))
                self._leave_disk(error)
            except OSError as error:
                self._leave_disk(error)
        return open_ledger_file(":memory:")

    def _continue_in_memory(self, error: sqlite3.Error) -> None:
        self._leave_disk(error)
        memory = open_ledger_file(":memory:")
        with contextlib.suppress(sqlite3.Error):
            copy_entries(self._connection, memory)
        self._connection.close()
        self._connection = memory

    def _leave_disk(self, error: Exception) -> None:
        self._is_on_disk = False
        self._next_try_s = time.monotonic() + _RETRY_S
        log.error(
            "%s: cannot be used (%s); after a restart the files of the folder are read again",
            self._path,
            error,
        )

    def _return_to_disk(self) -> None:
        """Write the rows in memory to the disk, if the disk accepts them again."""
        path = self._path
        if path is None or self._is_on_disk or time.monotonic() < self._next_try_s:
            return
        self._next_try_s = time.monotonic() + _RETRY_S
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            disk = open_ledger_file(str(path))
        except (sqlite3.Error, OSError):
            return
        try:
            with transaction(disk):
                copy_entries(self._connection, disk)
        except sqlite3.Error:
            disk.close()
            return
        self._connection.close()
        self._connection, self._is_on_disk = disk, True
        log.warning("%s: can be used again", path)
