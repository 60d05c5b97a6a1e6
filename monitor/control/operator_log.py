"""Mutes, acknowledgements and labels of operators, in memory and on the disk.

The values in memory are the valid ones. While the disk does not accept changes, they are only in
memory; the first ``flush`` that succeeds writes them.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.control.mute import Mute
from monitor.control.operator_store import Entry, KnownAlert, OperatorStore, move_aside
from monitor.durable import is_damaged

log = logging.getLogger(__name__)

_RETRY_S = 5.0
_DISK_ERRORS = (sqlite3.Error, OSError)


class OperatorLog:
    """The mutes, the newest alerts, and everything that operators did.

    Not thread-safe: the caller must hold a lock. No method raises an error of the disk: ``trouble``
    is the reason, in one line, why changes are only in memory. A damaged file is renamed and
    replaced. The caller changes a ``Mute`` or a ``KnownAlert`` and then calls ``put_mute`` or
    ``put_alert``; the change is on the disk after the next ``flush``.
    """

    MOST_ALERTS: ClassVar[int] = 1000
    MOST_ENTRIES: ClassVar[int] = 100_000
    _MOST_UNWRITTEN: ClassVar[int] = 10_000

    def __init__(self, path: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self.path = path
        self.clock = clock
        self.mutes: dict[str, Mute] = {}
        self.alerts: dict[str, KnownAlert] = {}
        self.trouble = ""
        self._store: OperatorStore | None = None
        self._next_try_s = 0.0
        self._unwritten: list[Entry] = []
        self._changed_mutes: set[str] = set()
        self._changed_alerts: set[str] = set()
        self._try(self._open)

    def close(self) -> None:
        """Write what is left, if the disk accepts it."""
        for mute in self.mutes.values():
            mute.refresh(self.clock)
            self.put_mute(mute)
        self.flush()
        self._disconnect()

    def put_mute(self, mute: Mute) -> None:
        """Keep a new or changed mute."""
        self.mutes[mute.machine] = mute
        self._changed_mutes.add(mute.machine)

    def drop_mute(self, machine: str) -> None:
        """The mute has ended."""
        self.mutes.pop(machine, None)
        self._changed_mutes.add(machine)

    def put_alert(self, alert: KnownAlert) -> None:
        """Keep a new or changed alert; the oldest are forgotten."""
        self.alerts[alert.alert_id] = alert
        self._changed_alerts.add(alert.alert_id)
        while len(self.alerts) > self.MOST_ALERTS:
            oldest = next(iter(self.alerts))
            del self.alerts[oldest]
            self._changed_alerts.add(oldest)

    def add(self, entry: Entry) -> None:
        """Add what a user did; the oldest entries are forgotten."""
        self._unwritten.append(entry)
        del self._unwritten[: -self._MOST_UNWRITTEN]

    def flush(self) -> None:
        """Write all changes, or set ``trouble``."""
        if self._has_changes:
            self._try(self._write)

    def flush_if_due(self) -> None:
        """``flush``, but only every few seconds while the disk does not accept changes."""
        if time.monotonic() < self._next_try_s:
            return
        if self._store is None:  # its disk may have been mounted late
            self._try(self._open)
        self.flush()

    # The disk.

    @property
    def _has_changes(self) -> bool:
        return bool(self._unwritten or self._changed_mutes or self._changed_alerts)

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except _DISK_ERRORS as error:
            self._failed(error)
        else:
            # A full disk lets the file be opened. Only what was written ends the trouble.
            if self.trouble and not self._has_changes:
                log.warning("%s: the disk accepts changes again", self.path)
                self.trouble = ""

    def _failed(self, error: Exception) -> None:
        self._disconnect()
        self._next_try_s = time.monotonic() + _RETRY_S
        if is_damaged(error):
            move_aside(self.path)
            self._next_try_s = 0.0
        reason = f"{self.path}: {error}"
        if reason != self.trouble:
            log.error(
                "mutes, acknowledgements and labels are kept in memory until the disk accepts "
                "changes: %s",
                reason,
            )
            self.trouble = reason

    def _open(self) -> OperatorStore:
        """The open file. Its mutes and alerts are added to those in memory."""
        if self._store is not None and self.path.exists():
            return self._store
        self._disconnect()
        store = OperatorStore(self.path)
        try:
            known = {alert.alert_id: alert for alert in store.alerts()}
            mutes = store.mutes()
        except BaseException:
            store.close()
            raise
        for mute in mutes:
            if mute.machine not in self._changed_mutes:
                self.mutes.setdefault(mute.machine, mute)
        if store.is_new:
            self._changed_mutes |= set(self.mutes)
            self._changed_alerts |= set(self.alerts)
        self.alerts = known | self.alerts
        self._store = store
        return store

    def _write(self) -> None:
        store = self._open()
        with store.transaction():
            for machine in self._changed_mutes:
                if mute := self.mutes.get(machine):
                    store.put_mute(mute)
                else:
                    store.delete_mute(machine)
            for alert_id in self._changed_alerts:
                if alert := self.alerts.get(alert_id):
                    store.put_alert(alert)
                else:
                    store.delete_alert(alert_id)
            store.add(self._unwritten, self.MOST_ENTRIES)
        self._unwritten.clear()
        self._changed_mutes.clear()
        self._changed_alerts.clear()

    def _disconnect(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
