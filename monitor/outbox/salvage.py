"""A damaged outbox: detect it, rename it, and read from it what can be read."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

from monitor.durable import LOG_SUFFIXES
from monitor.outbox.rows import StoredAlert, StoredMachine
from monitor.outbox.schema import alert_columns, machines_query, unrecorded_query

_KEPT_DAMAGED_FILES = 3


def move_aside(path: Path) -> Path:
    """Rename a damaged database and its log; returns the new path.

    Only this one and the newest 2 of the others are kept. Their dates may be wrong.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    path.rename(target)
    for suffix in LOG_SUFFIXES:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(target.with_name(target.name + suffix))
    earlier = sorted(
        (
            p
            for p in path.parent.glob(f"{path.name}.damaged-*")
            if p != target and not p.name.endswith(LOG_SUFFIXES)
        ),
        key=lambda p: p.lstat().st_mtime,
    )
    for old in earlier[: -(_KEPT_DAMAGED_FILES - 1)]:
        for suffix in ("", *LOG_SUFFIXES):
            old.with_name(old.name + suffix).unlink(missing_ok=True)
    return target


def salvage(path: Path) -> tuple[list[StoredMachine], list[StoredAlert], list[StoredAlert]]:
    """The rows that can be read from a damaged database.

    Machines, alerts, and alerts that were delivered and are not recorded.
    """
    machines: list[StoredMachine] = []
    alerts: list[StoredAlert] = []
    unrecorded: list[StoredAlert] = []
    try:
        connection = sqlite3.connect(path, isolation_level=None)
    except sqlite3.Error:
        return machines, alerts, unrecorded
    with contextlib.closing(connection):
        with contextlib.suppress(sqlite3.Error):
            for row in connection.execute(machines_query(connection)):
                machines.append(StoredMachine(*row))  # noqa: PERF401  # keeps the rows before an error
        with contextlib.suppress(sqlite3.Error):
            names = alert_columns(connection)
            for row in connection.execute(
                f"SELECT {names} FROM alerts NOT INDEXED ORDER BY position"  # noqa: S608 - constants
            ):
                alerts.append(StoredAlert(*row))  # noqa: PERF401  # as above
        with contextlib.suppress(sqlite3.Error):
            for row in connection.execute(unrecorded_query(connection), (-1,)):
                unrecorded.append(StoredAlert(*row))  # noqa: PERF401  # as above
    return machines, alerts, unrecorded
