"""Holds back the alerts of muted machines, before they are delivered."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, replace
from functools import cache
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

from monitor.alerts import Alert, AlertDraft, dated_by, redated
from monitor.clock import rfc3339
from monitor.control.mute import Mute
from monitor.control.operator_log import OperatorLog
from monitor.control.operator_store import KnownAlert
from monitor.service.supervisor import SupervisedOutlet

log = logging.getLogger(__name__)

MUTED = "muted"
_REPLACED = frozenset({"ok", "warning", "anomaly"})
"""The states that are published as ``muted``. The others concern the source and stay visible."""


@cache
def _draft() -> TypeAdapter[AlertDraft]:
    return TypeAdapter(AlertDraft)


class Muting:
    """An outlet that publishes no alerts of muted machines, and counts them instead.

    - An alert that is raised during a mute is held. If it is cleared before the mute ends, it is
      never published. Otherwise it is raised when the mute ends.
    - An alert that was raised before the mute stays open. Its ``updated`` messages are not
      published. Its ``cleared`` message is published.
    - Mutes and held alerts survive a restart of the daemon.

    Every method may be called from any thread.
    """

    REFRESH_S: ClassVar[float] = 60.0
    """How often the remaining time of each mute is written, for a restart of the computer."""

    def __init__(
        self,
        outlet: SupervisedOutlet,
        operators: OperatorLog,
        *,
        expired: Callable[[str], None] = lambda _machine: None,
    ) -> None:
        """``expired``: called with the machine whose mute has ended because its time is over."""
        self._expired = expired
        self.guard = threading.RLock()
        """Held while ``operators`` is used."""
        self.operators = operators
        self.n_raised: Counter[str] = Counter()
        """Alerts that were raised since this process started, by machine."""
        self._outlet = outlet
        self._clock = operators.clock
        self._monitored: set[str] | None = None
        self._unknown_stops: set[str] = set()
        """Machines that stopped during an alert that was never published."""
        self._states: dict[str, dict[str, Any]] = {}
        self._scores: dict[str, dict[str, Any]] = {}
        self._operations: dict[str, dict[str, Any]] = {}

    # monitor.service.supervisor.SupervisedOutlet

    def open_alert(self, machine: str) -> Alert | None:
        """The alert that the detector continues: published, or held."""
        with self.guard:
            mute = self.operators.mutes.get(machine)
            held = _held(mute) if mute is not None else None
            if published := self._outlet.open_alert(machine):
                return published
            return Alert(**asdict(held), event_id="", alert_id="", sequence=0) if held else None

    def alert(self, draft: AlertDraft) -> Alert | None:
        """Publish an alert, or hold it; ``None`` if it is not published."""
        with self.guard:
            mute = self._live_mute(draft.machine)
            if draft.kind == "raised" and draft.machine in self._unknown_stops:
                draft = replace(draft, continues=False)
                self._unknown_stops.remove(draft.machine)
            if mute is None:
                return self._publish(draft)
            is_published = self._outlet.open_alert(draft.machine) is not None
            if draft.kind == "cleared":
                self._release(mute)
                if is_published:
                    return self._publish(draft)
                if draft.reason:  # a later alert cannot continue one that was never published
                    self._unknown_stops.add(draft.machine)
                return None
            if not is_published:
                self._hold(mute, draft)
            return None

    def state(self, machine: str, payload: Mapping[str, Any]) -> None:
        """Publish the state with mute, acknowledgement and label."""
        with self.guard:
            payload = {**payload, **self._operator_fields(machine)}
            if payload["muted_until"] is not None and payload.get("state") in _REPLACED:
                payload |= {"state": MUTED, "state_without_mute": payload["state"]}
                began_s = self.operators.mutes[machine].began_unix_s(self._clock)
                payload["since"] = rfc3339(began_s)
            self._states[machine] = payload
        self._outlet.state(machine, payload)

    def score(self, machine: str, payload: dict[str, Any]) -> None:
        """Publish the newest score; a mute does not change it."""
        self._scores[machine] = payload
        self._outlet.score(machine, payload)

    def operation(self, machine: str, payload: dict[str, Any]) -> None:
        """Publish whether the machine runs; a mute does not change it."""
        self._operations[machine] = payload
        self._outlet.operation(machine, payload)

    def forget(self, machine: str) -> None:
        """The machine is no longer monitored. Its mute continues, a held alert is not raised."""
        with self.guard:
            if mute := self.operators.mutes.get(machine):
                self._release(mute)
            for newest in (self._states, self._scores, self._operations):
                newest.pop(machine, None)
        self._outlet.forget(machine)

    # For the commands of operators.

    def newest(self, machine: str) -> dict[str, dict[str, Any] | None]:
        """What was published last about a machine: ``state``, ``score`` and ``operation``."""
        return {
            "state": self._states.get(machine),
            "score": self._scores.get(machine),
            "operation": self._operations.get(machine),
        }

    def is_muted(self, machine: str) -> bool:
        """Whether the machine is muted now; without waiting for the guard."""
        return machine in self.operators.mutes

    def published_alert(self, machine: str) -> Alert | None:
        """The open alert that was published."""
        return self._outlet.open_alert(machine)

    def mute(self, machine: str, for_s: float, note: str, by: str) -> None:
        """Hold back the alerts of a machine from now on. A mute that lasts gets the new end."""
        with self.guard:
            earlier = self._live_mute(machine)
            now = self._clock.now()
            mute = Mute(machine, for_s, now, note, by, began=now)
            if earlier is not None:
                mute.began = earlier.began
                mute.alerts = earlier.alerts
                mute.held, mute.held_since = earlier.held, earlier.held_since
            self.operators.put_mute(mute)

    def unmute(self, machine: str) -> int | None:
        """End a mute; returns how many alerts it has held back, or ``None`` without a mute."""
        with self.guard:
            mute = self._live_mute(machine)
            if mute is None:
                return None
            self._end(mute)
            return mute.alerts

    def monitored(self, machines: Collection[str]) -> None:
        """These machines are monitored: held alerts of others are discarded."""
        with self.guard:
            self._monitored = set(machines)
            for mute in self.operators.mutes.values():
                if mute.machine not in self._monitored:
                    self._release(mute)

    def turn(self) -> list[str]:
        """End the mutes whose time is over; returns their machines. Call it about every second."""
        with self.guard:
            ended = []
            for mute in list(self.operators.mutes.values()):
                if self._live_mute(mute.machine) is None:
                    ended.append(mute.machine)
                elif mute.is_older_than(self.REFRESH_S, self._clock):
                    mute.refresh(self._clock)
                    self.operators.put_mute(mute)
            self.operators.flush_if_due()
            return ended

    # Under the guard.

    def _live_mute(self, machine: str) -> Mute | None:
        """The mute of a machine; one whose time is over ends here."""
        mute = self.operators.mutes.get(machine)
        if mute is not None and mute.remaining_s(self._clock) <= 0.0:
            self._end(mute)
            self._expired(machine)
            return None
        return mute

    def _operator_fields(self, machine: str) -> dict[str, Any]:
        mute = self._live_mute(machine)
        left_s = mute.remaining_s(self._clock) if mute is not None else 0.0
        until = rfc3339(round(self._clock.unix_s() + left_s)) if mute is not None else None
        published = self._outlet.open_alert(machine)
        known = self.operators.alerts.get(published.alert_id) if published else None
        return {
            "alert_id": published.alert_id if published else None,
            "acknowledged": known is not None and known.acknowledged,
            "label": (known.label or None) if known is not None else None,
            "muted_until": until,
            "muted_alerts": mute.alerts if mute is not None else 0,
        }

    def _publish(self, draft: AlertDraft) -> Alert | None:
        alert = self._outlet.alert(draft)
        if draft.kind == "raised" and alert is not None:
            self.n_raised[draft.machine] += 1
        if alert is not None and alert.alert_id not in self.operators.alerts:
            self.operators.put_alert(KnownAlert(alert.alert_id, alert.machine))
        return alert

    def _hold(self, mute: Mute, draft: AlertDraft) -> None:
        draft, earlier = dated_by(draft, self._clock), _held(mute)
        if earlier is None:
            mute.alerts += 1
            log.warning(
                "alert raised during a mute, not published",
                extra={"machine": mute.machine, "score": round(draft.score, 3)},
            )
        else:
            started_at = self._redated(mute, earlier).started_at
            peak_score = max(draft.peak_score, earlier.peak_score)
            draft = replace(draft, started_at=started_at, peak_score=peak_score)
        mute.held, mute.held_since = _draft().dump_json(draft).decode(), self._clock.now()
        self.operators.put_mute(mute)
        self.operators.flush_if_due()

    def _release(self, mute: Mute) -> None:
        """Forget the alert that is held."""
        if mute.held:
            mute.held = ""
            self.operators.put_mute(mute)
            self.operators.flush_if_due()

    def _end(self, mute: Mute) -> None:
        """End a mute. A held alert is raised; it is in the outbox before the disk forgets the mute.

        Evidence of the alert may be kept, because the mute has ended before it is raised.
        """
        held = _held(mute)
        self.operators.drop_mute(mute.machine)
        if held is not None and (self._monitored is None or mute.machine in self._monitored):
            held = self._redated(mute, held)
            at = rfc3339(self._clock.unix_s()) if held.dated_by_clock else held.at
            alert = self._publish(replace(held, kind="raised", at=at, position_s=None))
            log.warning(
                "alert raised after a mute",
                extra={
                    "machine": mute.machine,
                    "alert_id": alert.alert_id if alert else "",
                    "score": round(held.score, 3),
                },
            )
        log.info(
            "the mute has ended", extra={"machine": mute.machine, "alerts_suppressed": mute.alerts}
        )
        self.operators.flush_if_due()

    def _redated(self, mute: Mute, held: AlertDraft) -> AlertDraft:
        """The held alert with its times moved, if the system clock was set since then."""
        return redated(held, self._clock.set_since_s(mute.held_since))


def _held(mute: Mute) -> AlertDraft | None:
    """The held alert. None without one, or if another version wrote it in another format."""
    if not mute.held:
        return None
    try:
        return _draft().validate_json(mute.held)
    except ValidationError:
        return None
