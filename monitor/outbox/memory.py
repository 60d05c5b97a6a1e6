"""What is known of the queue in memory, and how it is merged with what a file contains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from monitor.alerts import Alert, dated_until, redated
from monitor.clock import Clock, Moment
from monitor.outbox.rows import StoredAlert, StoredMachine
from monitor.outbox.series import AlertSeries
from monitor.outbox.store import OutboxStore
from monitor.outbox.unrecorded import Unrecorded
from monitor.outbox.unwritten import Unwritten

_LEAST_SEQUENCE = 1_767_225_600
"""2026-01-01 in Unix time: no machine has as many alerts."""


class OutboxMemory:
    """The series of each machine, the dropped alerts, and the changes that are not written yet.

    Not thread-safe: the caller must hold a lock. It changes ``machines`` and ``drops``, and
    reports it with ``touch`` and ``remove``. ``unrecorded``: alerts that were delivered.

    ``assumed_sequence``: the last sequence number to assume for a machine that is not in
    ``machines``. ``stored``: alerts in the file, by machine. ``has_read``: whether a file was
    merged; before, it may have alerts that ``machines`` does not have.
    """

    def __init__(self, clock: Clock) -> None:
        self.machines: dict[str, AlertSeries] = {}
        self.drops: Counter[tuple[str, str]] = Counter()
        self.assumed_sequence = 0
        self.unwritten = Unwritten()
        self.unrecorded = Unrecorded()
        self.stored: Counter[str] = Counter()
        self.has_read = False
        self._clock = clock
        self._dated: dict[str, Moment] = {}
        """When the open alert of each machine got its times."""

    def series(self, machine: str) -> AlertSeries:
        """The series of a machine, a new one if it is not known."""
        return self.machines.setdefault(machine, AlertSeries(self.assumed_sequence))

    def touch(self, machine: str) -> None:
        """The series of this machine has changed, and its open alert has the time of now."""
        self._dated[machine] = self._clock.now()
        self.unwritten.machines.add(machine)

    def correct_times(self, machine: str) -> None:
        """Move the times of an open alert if the system clock was set since it got them."""
        series, dated = self.machines.get(machine), self._dated.get(machine)
        if series is None or series.open is None or dated is None:
            return
        set_by_s = self._clock.set_since_s(dated)
        if set_by_s:
            series.open = redated(series.open, set_by_s)
            self.touch(machine)

    def dated(self, machine: str) -> Moment:
        """When the open alert of a machine got its times."""
        return self._dated.get(machine) or self._clock.now()

    def corrected(self, alert: Alert, appended: Moment) -> Alert:
        """The alert with its times moved, if the system clock was set since it was added.

        The clock may also have been set before a reboot, or by less than counts as a step.
        """
        moved = redated(alert, self._clock.set_since_s(appended))
        return dated_until(moved, self._clock.unix_s())

    def put(self, alert: Alert) -> None:
        """Add an alert at the end."""
        self.unwritten.put(alert, self._clock.now())

    def remove(self, event_ids: Collection[str], *, dropped: bool = False) -> None:
        """Remove alerts; unknown ids change nothing. ``dropped``: ``drops`` has changed."""
        self.unwritten.remove(event_ids)
        self.unwritten.drops |= dropped

    def is_changed(self) -> bool:
        """Whether there is something to write."""
        return bool(self.unwritten) or self.unrecorded.is_changed

    def depth(self) -> int:
        """How many alerts are in the queue."""
        stored = self.stored.total() - len(self.unwritten.removed)
        return max(0, stored) + len(self.unwritten.alerts)

    def machines_waiting(self) -> list[str]:
        """The machines that have alerts in the queue."""
        names = dict.fromkeys(name for name, number in self.stored.items() if number > 0)
        names |= dict.fromkeys(alert.machine for alert in self.unwritten.added())
        return list(names)

    def assume_sequence(self) -> None:
        """Continue sequence numbers from the Unix time, because the last ones are unknown.

        After the power failure that damaged the file, the clock of a board may show 1970.
        """
        self.assumed_sequence = max(int(self._clock.unix_s()), _LEAST_SEQUENCE)

    def merge(self, store: OutboxStore) -> None:
        """Take over what an earlier process wrote to this file. Raises ``sqlite3.Error``."""
        machines, counts, drops = store.machines(), store.counts(), store.drops()
        for row in machines:
            self.merge_machine(row)
        if store.writable:
            store.adopt_undated(self._clock.now())
        self.stored = counts
        self.unrecorded.stored = len(store.unrecorded(-1))
        self.drops.update(drops)  # adds to those of this process
        self.has_read = True

    def merge_machine(self, row: StoredMachine) -> None:
        """Merge the stored series of a machine with that of this process.

        A machine without alerts in this process gets the stored open alert. Otherwise
        its own is kept. No number is given twice.
        """
        series = self.series(row.machine)
        if not self.has_read and series.last_sequence == self.assumed_sequence:
            series.open = row.alert
            self._dated[row.machine] = row.dated
        series.last_sequence = max(series.last_sequence, int(row.last_sequence))

    def merge_alerts(self, rows: list[StoredAlert]) -> int:
        """Put the alerts of a file that is given up in front of those in memory.

        Returns how many there were.
        """
        saved: dict[str, tuple[Alert, Moment]] = {}
        removed = self.unwritten.removed | self.unwritten.removed_early
        for row in rows:
            alert = row.alert
            if alert is not None and alert.event_id not in removed:
                saved[alert.event_id] = (alert, row.appended)
                series = self.series(alert.machine)
                series.last_sequence = max(series.last_sequence, alert.sequence)
        self.unwritten.alerts = saved | self.unwritten.alerts
        self.unwritten.removed.clear()
        return len(saved)
