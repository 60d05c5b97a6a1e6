"""What the daemon writes into its history."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from monitor.alerts import Alert
from monitor.clock import SYSTEM_CLOCK, Clock, rfc3339
from monitor.config.history import HistorySettings
from monitor.history.opening import opened_to_read
from monitor.history.reader import HistoryReader
from monitor.history.records import Event
from monitor.history.retention import Limits
from monitor.history.tally import Tally
from monitor.history.writer import HistoryHealth, HistoryWriter
from monitor.mqtt.payloads import alert_payload
from monitor.service.machine_history import MachineHistory

_DAY_S = 86_400.0


class HistoryFeed:
    """The history of all machines of one daemon, if it is enabled.

    Every method may be called from any thread, but ``apply`` and ``close`` only from one. None
    waits for the disk, except ``has``, ``close`` and ``apply`` while the history is read.
    """

    def __init__(
        self, path: Path, settings: HistorySettings | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.path = path
        self._clock = clock
        self._guard = threading.Lock()
        self._machines: dict[str, MachineHistory] = {}
        self._writer: HistoryWriter | None = None
        self._switching = threading.Lock()
        """Held while the history begins, ends, or is read without a writer."""
        self.apply(settings or HistorySettings())

    def apply(self, settings: HistorySettings) -> None:
        """Use these settings from now on."""
        limits = Limits(settings.max_mb * 1e6, settings.max_age_days * _DAY_S)
        if not settings.enabled:
            self.close()
        elif self._writer is None:
            self._flush()  # what came without a history is not kept
            with self._switching:
                self._writer = HistoryWriter(self.path, limits, self._clock)
        else:
            self._writer.set_limits(limits)

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        with self._switching:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.close()

    def reader(self) -> HistoryReader:
        """To read the history in this process, also while it is written."""
        return HistoryReader(self.path, self._to_read)

    @contextlib.contextmanager
    def _to_read(self) -> Iterator[sqlite3.Connection]:
        with self._switching:
            writer = self._writer
            if writer is None:
                with opened_to_read(self.path) as connection:
                    yield connection
                return
        with writer.to_read() as connection:
            yield connection

    def machine(self, name: str) -> MachineHistory:
        """Where a machine that starts reports what it gives."""
        machine = MachineHistory(name, self._put_minute, self.event, self._clock)
        with self._guard:
            earlier = self._machines.get(name)
            self._machines[name] = machine
        if earlier is not None:
            earlier.flush()
        return machine

    def monitored(self, machines: Collection[str]) -> None:
        """Only these machines are monitored."""
        with self._guard:
            gone = [one for name, one in self._machines.items() if name not in machines]
            for one in gone:
                del self._machines[one.name]
        for one in gone:
            one.flush()
        writer = self._writer
        if writer is not None:
            writer.monitored(machines)

    def turn(self) -> None:
        """Count the time in which nothing arrives. Call it about every second."""
        with self._guard:
            machines = list(self._machines.values())
        for machine in machines:
            machine.turn()

    def alert(self, alert: Alert) -> None:
        """Add a message of an alert; one that is there already is not added again."""
        self._add(
            Event(
                at=alert.at,
                at_unix_s=_unix_s(alert.at, self._clock),
                machine=alert.machine,
                kind=alert.kind,
                alert_id=alert.alert_id,
                event_id=alert.event_id,
                value=alert.reason,
                payload=alert_payload(alert),
            )
        )

    def event(
        self,
        kind: str,
        machine: str,
        *,
        unix_s: float | None = None,
        alert_id: str = "",
        value: str = "",
        user: str = "",
        note: str = "",
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an event, one of the kinds of ``Event``; by default it happens now."""
        unix_s = self._clock.unix_s() if unix_s is None else unix_s
        self._add(
            Event(
                at=rfc3339(unix_s),
                at_unix_s=unix_s,
                machine=machine,
                kind=kind,
                alert_id=alert_id,
                value=value,
                user=user,
                note=note,
                payload=dict(payload or {}),
            )
        )

    def has(self, event_id: str, timeout_s: float = 0.0) -> bool:
        """Whether a message of an alert is known to be on the disk; true without a history.

        Waits for it, but not while the disk refuses the history.
        """
        writer = self._writer
        return writer is None or writer.is_written(event_id, timeout_s)

    def accepts_alerts(self) -> bool:
        """Whether it is worth adding messages of alerts that the history may not have."""
        writer = self._writer
        return writer is None or not writer.refuses_alerts

    def lapses(self) -> tuple[int, int]:
        """Changes when messages of alerts that were added may be missing in the history."""
        writer = self._writer
        return writer.lapses if writer is not None else (0, 0)

    def health(self) -> HistoryHealth | None:
        """The condition of the history; None if it is not enabled."""
        writer = self._writer
        return writer.health() if writer is not None else None

    def _flush(self) -> None:
        with self._guard:
            machines = list(self._machines.values())
        for machine in machines:
            machine.flush()

    def _add(self, event: Event) -> None:
        writer = self._writer
        if writer is not None:
            writer.add_event(event)

    def _put_minute(self, machine: str, minute: int, tally: Tally) -> None:
        writer = self._writer
        if writer is not None:
            writer.add_minute(machine, minute, tally)


def _unix_s(at: str, clock: Clock) -> float:
    """The Unix time of a time in RFC 3339; of now, if it is no such time."""
    try:
        return datetime.fromisoformat(at).timestamp()
    except (ValueError, OverflowError):
        return clock.unix_s()
