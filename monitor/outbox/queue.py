"""The durable queue of alerts: on the disk before they are sent, until acknowledged."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from monitor.alerts import Alert, AlertDraft, dated_by
from monitor.clock import SYSTEM_CLOCK, Clock, rfc3339
from monitor.errors import ServiceUnavailableError
from monitor.outbox.disk import OutboxDisk
from monitor.outbox.limits import OutboxLimits
from monitor.outbox.lock import lock_of
from monitor.outbox.reads import OutboxReads

OutboxState = Literal["ok", "memory"]


@dataclass(frozen=True, slots=True)
class OutboxHealth:
    """``state`` is ``memory`` while the disk does not accept alerts; ``detail`` is the reason.

    ``depth``: alerts not acknowledged, ``unwritten`` of them only in memory.
    ``dropped``: alerts ever dropped, by kind. ``recoveries``: damaged files replaced
    since this process started. ``unrecorded``: alerts that were acknowledged and are kept
    because they are not recorded; ``unrecorded_dropped``: those dropped since this process
    started, because there were too many.
    """

    state: OutboxState
    detail: str
    depth: int
    unwritten: int
    dropped: dict[str, int]
    recoveries: int
    unrecorded: int = 0
    unrecorded_dropped: int = 0


class Outbox:
    """Alerts of all machines of one daemon. Every method may be called from any thread.

    ``max_alerts`` and ``max_age_days`` are its limits. Above ``max_alerts`` the oldest
    ``updated`` alerts are dropped first, and others only if no ``updated`` is left. Alerts
    of earlier boots that are older than ``max_age_days`` are dropped. Age is the time that
    this computer ran since then; alerts of this boot are never too old. Every dropped
    alert is counted permanently.
    ``max_in_memory`` limits in the same way what is in memory while the disk is broken.

    Raises ``ServiceUnavailableError`` when another process has the outbox open for
    writing, and ``ConfigError`` when a later version wrote it. A disk that cannot be
    written, or a damaged file, is not an error: see ``health``. A damaged file is renamed
    to ``<name>.damaged-<time>``, and what can be read is copied. If sequence
    numbers are then not certain, they continue from the Unix time in seconds, which the
    number of a machine's alerts cannot reach.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_alerts: int = 100_000,
        max_age_days: float = 30.0,
        max_in_memory: int = 10_000,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.path = path
        self._clock = clock
        self._guard = threading.RLock()
        self._closed = False
        self._lock = lock_of(path)
        self._disk = OutboxDisk(path, clock, self._lock)
        self._memory = self._disk.memory
        self._reads = OutboxReads(self._disk, clock)
        self._limits = OutboxLimits(self._disk, self._reads, f"outbox {path}", max_in_memory)
        self._limits.set(max_alerts, max_age_days)
        try:
            self._disk.open()
        except BaseException:
            self._lock.close()
            raise

    def set_limits(self, *, max_alerts: int, max_age_days: float) -> None:
        """Change the limits."""
        with self._guard:
            self._limits.set(max_alerts, max_age_days)
            self._limits.enforce_number()

    def watch(self, machines: Collection[str]) -> list[str]:
        """Store the monitored machines. Returns the other machines that are in this file."""
        with self._guard:
            self._check_open()
            new = [name for name in machines if name not in self._memory.machines]
            for name in new:
                self._memory.series(name)
                self._memory.touch(name)
            self._disk.flush()
            return [name for name in self._memory.machines if name not in machines]

    def append(self, draft: AlertDraft) -> Alert:
        """Give the alert its identity and make it durable; it is on the disk on return.

        If the disk does not accept it, it is in memory instead: see ``health``.
        ``AlertSeries.identify`` gives the identity.
        """
        with self._guard:
            self._check_open()
            series = self._memory.series(draft.machine)
            self._memory.correct_times(draft.machine)
            alert = series.identify(dated_by(draft, self._clock))
            self._memory.put(alert)
            self._memory.touch(alert.machine)
            self._disk.flush()
            self._limits.enforce_number()
            return alert

    def diagnosed(
        self,
        machine: str,
        alert_id: str,
        findings: Sequence[Mapping[str, Any]],
        *,
        is_muted: bool = False,
    ) -> Alert | None:
        """Append what a diagnosis found, as an ``updated`` message, if the alert is still open.

        ``is_muted``: without a message; the next one about this alert has it.
        """
        with self._guard:
            self._check_open()
            self._memory.correct_times(machine)
            series = self._memory.machines.get(machine)
            if series is None or series.open is None or series.open.alert_id != alert_id:
                return None
            if not is_muted:
                at = rfc3339(self._clock.unix_s())
                return self.append(series.open.diagnosed(at, findings))
            series.open = replace(series.open, findings=tuple(map(dict, findings)))
            self._memory.touch(machine)
            self._disk.flush()
            return None

    def pending(self, limit: int = 100, machine: str | None = None) -> list[Alert]:
        """The oldest alerts not acknowledged, at most ``limit``, in the order of ``append``."""
        with self._guard:
            self._check_open()
            self._disk.flush_if_due()
            return self._reads.read(limit, machine)

    def machines_waiting(self) -> list[str]:
        """The machines that have alerts to deliver."""
        with self._guard:
            self._check_open()
            self._disk.flush_if_due()
            self._limits.enforce_age()
            return self._memory.machines_waiting()

    def acknowledge(self, event_id: str, *, is_recorded: bool = True) -> None:
        """Remove an alert that the broker has. An unknown or repeated id changes nothing.

        If it is not recorded where it must be, it is kept on the disk among ``unrecorded``, and
        not sent again.
        """
        with self._guard:
            self._check_open()
            if not is_recorded:
                self._reads.keep_unrecorded(event_id)
            self._memory.remove([event_id])
            self._disk.flush()
            if not is_recorded:
                self._limits.enforce_unrecorded()

    def unrecorded(self, limit: int) -> list[Alert]:
        """The oldest alerts that were acknowledged and not recorded, in that order."""
        with self._guard:
            self._check_open()
            return self._reads.unrecorded(limit) if len(self._memory.unrecorded) else []

    def recorded(self, event_ids: Collection[str]) -> None:
        """Remove alerts from ``unrecorded``: now they are recorded."""
        with self._guard:
            self._check_open()
            self._memory.unrecorded.remove(event_ids)
            self._disk.flush()

    def after(self, position: int, limit: int) -> tuple[list[Alert], int]:
        """The next alerts on the disk that are not acknowledged, and the position to go on from.

        Begin at 0; a position of 0 is returned with the last ones.
        """
        with self._guard:
            self._check_open()
            return self._reads.after(position, limit)

    def keep_place(self) -> None:
        """Lock and fill the state folder again if it was deleted. Call it about every second."""
        with self._guard:
            self._check_open()
            self._disk.keep_place()

    def open_alert(self, machine: str) -> Alert | None:
        """The newest alert of the machine, unless it is ``cleared``; also from before a restart."""
        with self._guard:
            self._memory.correct_times(machine)
            series = self._memory.machines.get(machine)
            return series.open if series else None

    def depth(self) -> int:
        """The number of alerts that are not acknowledged."""
        with self._guard:
            return self._memory.depth()

    def health(self) -> OutboxHealth:
        """The condition of the outbox."""
        with self._guard:
            dropped: Counter[str] = Counter()
            for (_, kind), number in self._memory.drops.items():
                dropped[kind] += number
            return OutboxHealth(
                state="memory" if self._disk.trouble else "ok",
                detail=self._disk.trouble,
                depth=self._memory.depth(),
                unwritten=len(self._memory.unwritten.alerts),
                dropped=dict(dropped),
                recoveries=self._disk.recoveries,
                unrecorded=len(self._memory.unrecorded),
                unrecorded_dropped=self._memory.unrecorded.n_dropped,
            )

    def close(self) -> None:
        """Write the changes that are left, if the disk accepts them, and unlock the file."""
        with self._guard:
            if not self._closed:
                self._closed = True
                self._disk.close()
                self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ServiceUnavailableError(f"outbox {self.path}: closed")
