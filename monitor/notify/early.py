"""Alerts that the outbox has and that the history does not have, although it had time for them.

A full disk refuses the history before it refuses an alert, and a damaged history has to be replaced
first. The outbox keeps each alert until the history has it, also if the daemon is killed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from monitor.alerts import Alert
from monitor.clock import Clock
from monitor.errors import AuscultError
from monitor.history.reader import HistoryReader
from monitor.history.records import Event
from monitor.mqtt.payloads import alert_payload
from monitor.outbox.waiting import WaitingAlerts


@dataclass(frozen=True, slots=True)
class _Early:
    event: Event
    sequence: int
    first_seen_s: float
    """By the steady clock."""


class EarlyAlerts:
    """The alerts of an outbox that one target did not get from the history. For one thread.

    Each is given once in the life of this object. Events of alerts have the position 0.
    """

    GRACE_S: ClassVar[float] = 3.0
    """How long the history has time. It normally has an alert at once, and in the right place among
    the states of its machine."""

    def __init__(self, outbox: WaitingAlerts, history: HistoryReader, clock: Clock) -> None:
        self._outbox = outbox
        self._history = history
        self._clock = clock
        self._settled: set[str] = set()
        """The ``event_id`` of alerts that the outbox still has and that need nothing more."""
        self._waiting: dict[str, _Early] = {}
        """By ``event_id``, in the order in which they were added to the outbox."""
        self._is_compared = False
        """Whether the history does not have them; otherwise it cannot be read."""

    def look(self) -> None:
        """Note what is new. Call it before the history is read: an alert is in one of both.

        Raises ``BadInputError`` if the outbox cannot be read.
        """
        listed = self._outbox.event_ids()
        self._settled.intersection_update(listed)
        new = [one for one in listed if one not in self._settled and one not in self._waiting]
        try:
            recorded = self._history.recorded([*new, *self._waiting])
            self._is_compared = True
        except AuscultError:  # the target reports it
            recorded, self._is_compared = set(), False
        for name in recorded:
            self._waiting.pop(name, None)
        self._settled |= recorded.intersection(listed)
        missing = [one for one in new if one not in recorded]
        found = {alert.event_id: alert for alert in self._outbox.alerts(missing)}
        now_s = self._clock.steady_s()
        for name in missing:
            if (alert := found.get(name)) is not None:
                self._waiting[name] = _Early(_event(alert, self._clock), alert.sequence, now_s)

    def settle(self, event_id: str) -> None:
        """The target has this alert, or does not want it."""
        if self._waiting.pop(event_id, None) is not None:
            self._settled.add(event_id)

    def before(self, machine: str, sequence: int) -> list[Event]:
        """The alerts of a machine that come before one of this ``sequence``, in order."""
        earlier = [
            one
            for one in self._waiting.values()
            if self._is_compared and one.event.machine == machine and one.sequence < sequence
        ]
        return [one.event for one in sorted(earlier, key=lambda one: one.sequence)]

    def due(self, seen: Mapping[str, int]) -> list[Event]:
        """The alerts for which the history had its time, those of each machine in order.

        ``seen``: the highest ``sequence`` that the target has had of each machine. Without the
        history, alerts up to that are not due: it may have given them before.
        """
        latest_s = self._clock.steady_s() - self.GRACE_S
        newest: dict[str, int] = {}
        for one in self._waiting.values():
            if one.first_seen_s <= latest_s:
                machine = one.event.machine
                newest[machine] = max(newest.get(machine, 0), one.sequence)
        found = [
            one
            for one in self._waiting.values()
            if one.sequence <= newest.get(one.event.machine, 0)
            and (self._is_compared or one.sequence > seen.get(one.event.machine, 0))
        ]
        return list(_in_order(found))

    def due_in_s(self) -> float | None:
        """After how many seconds another alert is due; None without any."""
        if not self._waiting:
            return None
        ages = (self._clock.steady_s() - one.first_seen_s for one in self._waiting.values())
        later = [self.GRACE_S - age_s for age_s in ages if age_s < self.GRACE_S]
        return min(later, default=None)


def _in_order(alerts: list[_Early]) -> Iterator[Event]:
    """In the places that each machine has, its alerts by their ``sequence``."""
    by_machine: dict[str, list[_Early]] = {}
    for one in sorted(alerts, key=lambda one: one.sequence, reverse=True):
        by_machine.setdefault(one.event.machine, []).append(one)
    for one in alerts:
        yield by_machine[one.event.machine].pop().event


def _event(alert: Alert, clock: Clock) -> Event:
    try:
        at_unix_s = datetime.fromisoformat(alert.at).timestamp()
    except (ValueError, OverflowError):
        at_unix_s = clock.unix_s()
    return Event(
        at=alert.at,
        at_unix_s=at_unix_s,
        machine=alert.machine,
        kind=alert.kind,
        alert_id=alert.alert_id,
        event_id=alert.event_id,
        value=alert.reason,
        payload=alert_payload(alert),
    )
