"""Events of the history into the incidents of a target's ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.history.records import ALERT_KINDS, Event
from monitor.notify.incident import Incident, Kind, alert_incident, text, whole
from monitor.notify.ledger import Ledger

NO_SOUND = frozenset({"no_signal", "degraded", "unavailable"})
"""States of a machine in which its sound cannot be judged."""
_SCORE_WARNING = "the score is above the warning threshold"
_REMARKS = ("acknowledge", "label")
_MOST_REMARKS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Interest:
    """What a target is notified of.

    ``machines``: empty for all. ``ended``: whether also of the end of what it was
    notified of.
    ``least_s``: a trouble of the source that ends sooner is not sent.
    """

    machines: frozenset[str] = frozenset()
    kinds: frozenset[Kind] = frozenset({"alert"})
    ended: bool = True
    least_s: float = 0.0

    def covers(self, machine: str) -> bool:
        """Whether it is about this machine."""
        return not self.machines or machine in self.machines

    @property
    def event_kinds(self) -> Sequence[str]:
        """The kinds of events in the history that matter."""
        alerts = (*ALERT_KINDS, *_REMARKS, "evidence") if "alert" in self.kinds else ()
        states = ("state",) if self.kinds & {"source", "warning"} else ()
        return (*alerts, *states, *(("warning",) if "warning" in self.kinds else ()))


def fold(ledger: Ledger, event: Event, interest: Interest) -> None:
    """Take the next event. Events must come in the order of their positions."""
    ledger.position = max(ledger.position, event.position)
    if _is_wanted(ledger, event, interest):
        if event.kind in ALERT_KINDS:
            _fold_alert(ledger, event, event.position)
        elif event.kind in _REMARKS:
            _fold_remark(ledger, event)
        elif event.kind == "evidence":
            _fold_evidence(ledger, event)
        else:
            _fold_state(ledger, event, interest)
        _limit(ledger, interest)
    if event.position > ledger.recheck_until:
        _note_seen(ledger, event)
    if event.kind in ALERT_KINDS:
        ledger.confirm(event.alert_id, whole(event.payload.get("sequence")))


def fold_early(ledger: Ledger, event: Event, interest: Interest) -> bool:
    """Take an alert that the history does not have yet; whether the ledger has changed.

    It comes after all that was taken from the history. When the history has it, ``fold`` recognises
    it by its ``sequence``.
    """
    sequence = whole(event.payload.get("sequence"))
    is_old = sequence <= ledger.not_taken.get(event.machine, 0)
    if is_old or not interest.covers(event.machine):
        return False
    ledger.n_early += 1
    _fold_alert(ledger, event, ledger.position, order=ledger.n_early)
    ledger.early[event.alert_id] = max(ledger.early.get(event.alert_id, 0), sequence)
    _limit(ledger, interest)
    _note_seen(ledger, event)
    return True


def _limit(ledger: Ledger, interest: Interest) -> None:
    if not interest.ended:
        _leave_out_ends(ledger)
    ledger.make_room()


def _note_seen(ledger: Ledger, event: Event) -> None:
    if event.kind in ALERT_KINDS:
        sequence = whole(event.payload.get("sequence"))
        ledger.seen[event.machine] = max(ledger.seen.get(event.machine, 0), sequence)
    ledger.newest_s = max(ledger.newest_s, event.at_unix_s)


def _is_wanted(ledger: Ledger, event: Event, interest: Interest) -> bool:
    if not interest.covers(event.machine):
        return False
    if event.position > ledger.recheck_until or event.at_unix_s > ledger.newest_s:
        return True
    # Of a history that replaced another one: alerts that were taken from that one are old.
    sequence = whole(event.payload.get("sequence"))
    return event.kind in ALERT_KINDS and sequence > ledger.seen.get(event.machine, 0)


def _fold_alert(ledger: Ledger, event: Event, position: int, *, order: int = 0) -> None:
    sequence = whole(event.payload.get("sequence"))
    key = event.alert_id or f"event {event.position}"
    incident = ledger.incidents.get(key)
    known = ledger.done.get(key, 0) if incident is None else incident.sequence
    if 0 < sequence <= known:
        return  # repeated, or written late
    if incident is None:
        incident = alert_incident(key, event.machine, position, event.payload)
        incident.order = order
        ledger.incidents[key] = incident
    elif not incident.is_pending:
        incident.order = order
    incident.take_alert(event.kind, position, event.payload)


def _fold_remark(ledger: Ledger, event: Event) -> None:
    incident = ledger.incidents.get(event.alert_id)
    if incident is None:
        return
    by = f" by {event.user}" if event.user else ""
    note = f": {event.note}" if event.note else ""
    what = "acknowledged" if event.kind == "acknowledge" else f"labelled {event.value}"
    incident.remarks = [*incident.remarks, f"{what}{by}{note}"][-_MOST_REMARKS:]


def _fold_evidence(ledger: Ledger, event: Event) -> None:
    incident = ledger.incidents.get(event.alert_id)
    if incident is not None and event.value == "lost":
        incident.lost_evidence_id = text(event.payload, "evidence_id")


def _fold_state(ledger: Ledger, event: Event, interest: Interest) -> None:
    """Fold a change of the state of a machine, or a warning beside its state."""
    detail = text(event.payload, "detail")
    if event.kind == "warning":
        name = event.value.replace("_", " ")
        is_on = event.payload.get("is_on") is True
        _turn(ledger, event, interest, "warning", name, is_on=is_on, detail=detail or name)
        return
    if "source" in interest.kinds:
        is_on = event.value in NO_SOUND
        detail = detail or event.value.replace("_", " ")
        _turn(ledger, event, interest, "source", "source", is_on=is_on, detail=detail)
    if "warning" in interest.kinds:
        is_on = event.value == "warning"
        _turn(ledger, event, interest, "warning", "score", is_on=is_on, detail=_SCORE_WARNING)


def _turn(
    ledger: Ledger,
    event: Event,
    interest: Interest,
    kind: Kind,
    name: str,
    *,
    is_on: bool,
    detail: str,
) -> None:
    """Something that is on or off has begun, continues or has ended."""
    key = f"{kind} {name} of {event.machine}"
    incident = ledger.incidents.get(key)
    if incident is None:
        if not is_on:
            return
        incident = Incident(
            key=key,
            kind=kind,
            machine=event.machine,
            position=event.position,
            started_at=event.at,
            severity="warning",
        )
        ledger.incidents[key] = incident
    if is_on:
        incident.begin_again()
        incident.text = detail
        return
    incident.end(event.at, event.position)
    if not incident.is_sent and incident.lasted_s() < interest.least_s:
        del ledger.incidents[key]


def forget_unwanted(ledger: Ledger, interest: Interest) -> None:
    """Remove what the target is no longer notified of, after a change of its settings."""
    for one in list(ledger.incidents.values()):
        if one.kind not in interest.kinds or not interest.covers(one.machine):
            del ledger.incidents[one.key]


def _leave_out_ends(ledger: Ledger) -> None:
    """Forget what has ended after its beginning was sent."""
    for one in [one for one in ledger.incidents.values() if one.is_sent and one.has_ended]:
        ledger.forget(one)
