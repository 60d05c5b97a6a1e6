"""Opening the history to read it, beside the daemon or without it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from monitor.durable import refusal
from monitor.errors import BadInputError, MissingInputError
from monitor.history.schema import check_version
from monitor.text.regular_files import real_path

_TIMEOUT_S = 2.0
_NO_LOG = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
"""The daemon has ended since its log was seen, or the index of the log cannot be made here."""


@contextlib.contextmanager
def opened_to_read(path: Path) -> Iterator[sqlite3.Connection]:
    """The history, for the time of the block.

    Raises ``MissingInputError`` if there is none, and ``BadInputError`` if it cannot be read, also
    for a ``sqlite3.Error`` in the block.
    """
    try:
        if not path.exists():
            raise MissingInputError(f"history {path}: {_why_missing(path)}")
        if not path.is_file():  # opening a FIFO would wait for ever
            raise BadInputError(f"history {path}: is not a regular file")
        with contextlib.closing(_connected(path)) as connection:
            yield connection
    except sqlite3.Error as error:
        # SQLite only reports that it cannot open it. Opening it here would end the locks of SQLite
        # in this process: those of POSIX end with the first file that is closed.
        if not os.access(path, os.R_OK, effective_ids=True):
            raise _not_permitted(path) from error
        disk = refusal(path.parent)  # SQLite reports a full disk as an I/O error
        reason = f"{error} ({disk})" if disk else str(error)
        raise BadInputError(f"history {path}: {reason}") from error
    except PermissionError as error:
        raise _not_permitted(path) from error
    except OSError as error:
        raise BadInputError(f"history {path}: {error.strerror}") from error


def _not_permitted(path: Path) -> BadInputError:
    return BadInputError(f"history {path}: only root and the user of the daemon may read it")


def _why_missing(path: Path) -> str:
    if disk := refusal(path.parent):
        return f"cannot be made, because {disk}"
    return "does not exist; no daemon has written a history in this state folder yet"


def _connected(path: Path) -> sqlite3.Connection:
    # Without a log the file is complete. A plain open would then create a log and its index, or
    # fail in a read-only folder.
    has_log = path.with_name(path.name + "-wal").exists()
    if not has_log:
        return _connect(path, "?mode=ro&immutable=1")
    try:
        return _connect(path, "?mode=ro")
    except sqlite3.OperationalError as error:
        if (
            getattr(error, "sqlite_errorcode", 0) & 0xFF not in _NO_LOG
        ):  # without its log it would be an old one
            raise
        return _connect(path, "?mode=ro&immutable=1")


def _connect(path: Path, options: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        real_path(path).as_uri() + options, uri=True, timeout=_TIMEOUT_S, isolation_level=None
    )
    try:
        check_version(connection)
    except BaseException:
        connection.close()
        raise
    return connection
