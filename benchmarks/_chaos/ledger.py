"""Comparison of decided, durable and received alerts."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Record = dict[str, Any]
_PLAIN_FAULT = 3.0


def read_lines(path: Path) -> list[Record]:
    """The complete lines of a file that another process writes."""
    if not path.exists():
        return []
    text = path.read_bytes()
    return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]


@dataclass
class Ledger:
    """The numbers of alerts. ``problems`` is empty if no alert was lost or out of order.

    ``decided``: by the detectors. ``returned``: of these, made durable by ``append``.
    ``arrived_unreturned``: ``append`` was interrupted by a kill, but the alert was durable.
    ``decided_again``: the kill was earlier, and the next daemon made the decision again.
    ``duplicated``: messages received more than once. ``lost``: neither received nor
    decided again. ``short``: received in the short form. ``faults`` were in the sound,
    ``broken`` of them without a part between two kills that is long enough for an alert.
    ``broken_off``: the decision about a broken fault was killed, and what was left of the
    fault was too short for another one.
    ``faults_received`` reached the subscriber.
    """

    decided: int = 0
    returned: int = 0
    arrived_unreturned: int = 0
    decided_again: int = 0
    received: int = 0
    duplicated: int = 0
    lost: int = 0
    in_memory: int = 0
    short: int = 0
    faults: int = 0
    broken: int = 0
    broken_off: int = 0
    faults_received: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Fault:
    """A fault in the sound. ``is_broken``: kills came too often during it for an alert."""

    tone_hz: float
    is_broken: bool = False


def settle(witness: list[Record], messages: list[Record], faults: dict[str, list[Fault]],
           ) -> Ledger:  # fmt: skip
    """Count the alerts. ``faults``: those of each machine in the order of its sound."""
    everything = [fault for one in faults.values() for fault in one]
    ledger = Ledger(faults=len(everything))
    ledger.broken = sum(fault.is_broken for fault in everything)
    alerts = _check_messages(messages, ledger)
    by_machine: dict[str, list[Record]] = defaultdict(list)
    for alert in alerts.values():
        by_machine[alert["machine"]].append(alert)
    for machine in sorted({*by_machine, *(line["machine"] for line in witness)}):
        lines = [line for line in witness if line["machine"] == machine]
        _check_order(machine, by_machine[machine], ledger)
        n_broken = sum(fault.is_broken for fault in faults.get(machine, ()))
        _check_witness(machine, lines, by_machine[machine], ledger, n_broken)
    for machine, expected in faults.items():
        lines = [line for line in witness if line["machine"] == machine]
        full = [_in_full(alert, lines) for alert in by_machine[machine]]
        received = _tones_received(full, {fault.tone_hz for fault in expected})
        ledger.faults_received += len(received)
        tones = [fault.tone_hz for fault in expected]
        if not _are_received(expected, received):
            ledger.problems.append(
                f"{machine}: of the faults {tones} only {received} were received"
            )
        raised = sum(alert["kind"] == "raised" for alert in full)
        if not len(received) <= raised <= len(expected):
            ledger.problems.append(f"{machine}: {raised} alerts raised for {len(expected)} faults")
    return ledger


def _check_messages(messages: list[Record], ledger: Ledger) -> dict[str, Record]:
    """The alerts by ``event_id``, in the order of their first arrival."""
    alerts: dict[str, Record] = {}
    newest: dict[str, int] = {}
    for message in messages:
        alert = json.loads(message["payload"])
        # The short form may have no machine.
        machine = alert["machine"] = message["topic"].split("/")[-2]
        event_id = alert["event_id"]
        if event_id in alerts:
            ledger.duplicated += 1
            if not _is_same(alert, alerts[event_id]):
                ledger.problems.append(f"event_id {event_id} belongs to two messages")
        alerts[event_id] = alert | alerts.get(event_id, {})
        if alert["sequence"] < newest.get(machine, 0):
            ledger.problems.append(
                f"{machine}: {alert['sequence']} arrived after {newest[machine]}"
            )
        newest[machine] = max(alert["sequence"], newest.get(machine, 0))
    ledger.received = len(alerts)
    ledger.short = sum("short" in alert for alert in alerts.values())
    ledger.kinds = dict(Counter(alert["kind"] for alert in alerts.values()))
    return alerts


def _is_same(one: Record, other: Record) -> bool:
    """Whether two messages are one alert. One may be short, and the clock may have been set."""
    common = one.keys() & other.keys() - {"at", "started_at", "short"}
    return all(one[key] == other[key] for key in common)


def _in_full(alert: Record, lines: list[Record]) -> Record:
    """The alert with what its short form leaves out, from the record of the witness."""
    if "bands_hz" in alert or alert["kind"] == "cleared":
        return alert
    returned = [line for line in lines if line.get("event_id") == alert["event_id"]]
    decided = [line for line in lines if line["score"] == alert.get("score")]
    known = next(iter((*returned, *decided)), {"score": 0.0, "threshold": 0.0})
    return {key: known.get(key, ()) for key in ("score", "threshold", "bands_hz")} | alert


def _check_order(machine: str, alerts: list[Record], ledger: Ledger) -> None:
    """Check that ``sequence`` has no gaps and that every raised alert is cleared."""
    sequences = [alert["sequence"] for alert in alerts]
    if sequences != list(range(1, len(sequences) + 1)):
        ledger.problems.append(f"{machine}: sequence numbers are {sequences}")
    standing: str | None = None
    for alert in alerts:
        expected = standing is None if alert["kind"] == "raised" else standing == alert["alert_id"]
        if not expected:
            ledger.problems.append(
                f"{machine}: {alert['kind']} number {alert['sequence']} does not follow"
            )
        standing = None if alert["kind"] == "cleared" else alert["alert_id"]
    if standing is not None:
        ledger.problems.append(f"{machine}: an alert is not cleared at the end")


def _check_witness(
    machine: str, lines: list[Record], alerts: list[Record], ledger: Ledger, n_broken: int
) -> None:
    received = {alert["event_id"]: alert for alert in alerts}
    returned = {line["event_id"] for line in lines if line["event"] == "returned"}
    # A block of a recording may have several decisions, which are then written in order.
    written = Counter((line["life"], line["score"]) for line in lines if "event_id" in line)
    for number, line in enumerate(lines):
        if line["event"] == "returned":
            ledger.returned += 1
            ledger.in_memory += line["in_memory"]
            if line["event_id"] not in received:
                ledger.lost += 1
                ledger.problems.append(f"{machine}: number {line['sequence']} is lost")
            continue
        ledger.decided += 1
        if written[line["life"], line["score"]] > 0:
            written[line["life"], line["score"]] -= 1
            continue
        if any(_may_be(a, line) and i not in returned for i, a in received.items()):
            ledger.arrived_unreturned += 1
        elif number + 1 < len(lines):
            ledger.decided_again += 1
        elif line["kind"] == "raised" and n_broken:
            ledger.broken_off += 1
        else:
            ledger.lost += 1
            ledger.problems.append(f"{machine}: {line['kind']} was never decided again")


def _may_be(alert: Record, decided: Record) -> bool:
    """Whether an alert can come from a decision. The shortest form has no score."""
    if "score" in alert:
        return bool(alert["score"] == decided["score"])
    return bool(alert["kind"] == decided["kind"])


def _are_received(expected: list[Fault], received: list[float]) -> bool:
    """Whether these are the tones of all faults in order; broken ones may be missing."""
    left = list(received)
    for fault in expected:
        if left[:1] == [fault.tone_hz]:
            left.pop(0)
        elif not fault.is_broken:
            return False
    return not left


def _tones_received(alerts: list[Record], tones: set[float]) -> list[float]:
    """The tones of the alerts, repetitions left out."""
    received: list[float] = []
    for alert in alerts:
        arrived = [
            tone
            for tone in sorted(tones)
            if any(low - 200 < tone < high + 200 for low, high in alert.get("bands_hz", ()))
        ]
        # A span with only a part of the fault has other bands too.
        if alert["kind"] == "cleared":
            continue
        plain = alert["score"] > _PLAIN_FAULT * alert["threshold"]
        if plain and len(arrived) == 1 and arrived != received[-1:]:
            received += arrived
    return received
