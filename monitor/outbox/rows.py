"""Alerts and series as rows of the outbox's tables."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from monitor.alerts import Alert, alert_from_json, alert_to_dict
from monitor.clock import Moment
from monitor.errors import BadInputError
from monitor.outbox.series import AlertSeries


@dataclass(frozen=True, slots=True)
class StoredMachine:
    """A row of ``machines``; ``open_alert`` is JSON or ``None``."""

    machine: str
    last_sequence: int
    open_alert: str | None
    dated_unix_s: float | None = None
    steady_s: float | None = None
    boot_id: str | None = None
    dated_by_clock: int | None = None

    @property
    def alert(self) -> Alert | None:
        """The open alert, if there is one."""
        alert = parse_alert(self.open_alert)
        return alert and replace(alert, dated_by_clock=self.dated_by_clock != 0)

    @property
    def dated(self) -> Moment:
        """When the open alert got its times."""
        return Moment(self.dated_unix_s or 0.0, self.steady_s or 0.0, self.boot_id or "")


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """A row of ``alerts`` without its position; ``body`` is the alert's JSON."""

    event_id: str
    machine: str
    kind: str
    appended_unix_s: float
    body: str
    steady_s: float | None = None
    boot_id: str | None = None
    dated_by_clock: int | None = None

    @property
    def alert(self) -> Alert | None:
        """The alert, or ``None`` if the row contains no valid alert."""
        alert = parse_alert(self.body)
        return alert and replace(alert, dated_by_clock=self.dated_by_clock != 0)

    @property
    def appended(self) -> Moment:
        """When the alert was added. Earlier versions stored the Unix time only."""
        return Moment(self.appended_unix_s, self.steady_s or 0.0, self.boot_id or "")


def to_stored_alert(alert: Alert, appended: Moment) -> StoredAlert:
    """The row of an alert."""
    body = json.dumps(alert_to_dict(alert), separators=(",", ":"))
    times = (appended.steady_s, appended.boot_id, int(alert.dated_by_clock))
    return StoredAlert(alert.event_id, alert.machine, alert.kind, appended.unix_s, body, *times)


def to_stored_machine(name: str, series: AlertSeries, dated: Moment) -> StoredMachine:
    """The row of the series of a machine. ``dated``: when its open alert got its times."""
    opened = json.dumps(alert_to_dict(series.open)) if series.open else None
    by_clock = series.open is None or series.open.dated_by_clock
    times = (dated.unix_s, dated.steady_s, dated.boot_id, int(by_clock))
    return StoredMachine(name, series.last_sequence, opened, *times)


def parse_alert(body: object) -> Alert | None:
    """The alert in a row's JSON, or ``None`` if it is not a valid alert."""
    if not isinstance(body, str):
        return None
    try:
        return alert_from_json(body)
    except BadInputError:
        return None
