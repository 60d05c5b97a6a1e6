"""How many alerts the outbox keeps, and for how long."""

from __future__ import annotations

import logging
import time

from monitor.outbox.disk import OutboxDisk
from monitor.outbox.reads import OutboxReads
from monitor.outbox.unwritten import AlertKey

_log = logging.getLogger(__name__)

_AGE_CHECK_S = 60.0
_DAY_S = 86_400.0


class OutboxLimits:
    """Drops alerts beyond the limits, as ``Outbox`` describes them.

    Not thread-safe: the caller must hold a lock. ``name``: of the outbox, for the log.
    """

    def __init__(self, disk: OutboxDisk, reads: OutboxReads, name: str, max_in_memory: int) -> None:
        self._disk = disk
        self._memory = disk.memory
        self._reads = reads
        self._name = name
        self._max_in_memory = max_in_memory
        self._max_alerts, self._max_age_s = 0, 0.0
        self._next_age_check_s = 0.0

    def set(self, max_alerts: int, max_age_days: float) -> None:
        """Change the limits."""
        self._max_alerts, self._max_age_s = max_alerts, max_age_days * _DAY_S
        self._next_age_check_s = 0.0

    def enforce_number(self) -> None:
        """Drop what is too much, on the disk or in memory."""
        excess = self._memory.depth() - self._max_alerts
        if excess > 0:
            entries = self._reads.oldest(excess, only_updated=True)
            self._drop(entries or self._reads.oldest(excess, only_updated=False))
        excess = len(self._memory.unwritten.alerts) - self._max_in_memory
        if excess > 0:
            entries = self._memory.unwritten.oldest(excess, only_updated=True)
            self._drop(entries or self._memory.unwritten.oldest(excess, only_updated=False))

    def enforce_unrecorded(self) -> None:
        """Drop delivered alerts that wait for the history, if there are too many."""
        event_ids = self._reads.excess_unrecorded()
        if not event_ids:
            return
        self._memory.unrecorded.remove(event_ids)
        self._memory.unrecorded.n_dropped += len(event_ids)
        self._disk.flush()
        _log.error(
            "%s: too many delivered alerts are not recorded; the oldest are dropped: %d",
            *(self._name, self._memory.unrecorded.n_dropped),
        )

    def enforce_age(self) -> None:
        """Drop alerts that are too old, at most once a minute."""
        if time.monotonic() >= self._next_age_check_s:
            self._next_age_check_s = time.monotonic() + _AGE_CHECK_S
            self._drop(self._reads.older_than(self._max_age_s))

    def _drop(self, entries: list[AlertKey]) -> None:
        if not entries:
            return
        self._memory.drops.update((machine, kind) for _, machine, kind in entries)
        self._memory.remove([event_id for event_id, _, _ in entries], dropped=True)
        self._disk.flush()
        _log.warning("%s: over its limits; alerts dropped: %d", self._name, len(entries))
