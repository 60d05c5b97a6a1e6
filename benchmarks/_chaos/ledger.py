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
    decided again. ``faults`` were in the sound, ``faults_told`` reached the subscriber.
    """

    decided: int = 0
    returned: int = 0
    arrived_unreturned: int = 0
    decided_again: int = 0
    received: int = 0
    duplicated: int = 0
    lost: int = 0
    in_memory: int = 0
    faults: int = 0
    faults_told: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def settle(witness: list[Record], messages: list[Record], tones: dict[str, tuple[float, ...]],
           ) -> Ledger:  # fmt: skip
    """Count the alerts. ``tones``: the faults of each machine in the order of its sound."""
    ledger = Ledger(faults=sum(map(len, tones.values())))
    alerts = _check_messages(messages, ledger)
    by_machine: dict[str, list[Record]] = defaultdict(list)
    for alert in alerts.values():
        by_machine[alert["machine"]].append(alert)
    for machine in sorted({*by_machine, *(line["machine"] for line in witness)}):
        lines = [line for line in witness if line["machine"] == machine]
        _check_order(machine, by_machine[machine], ledger)
        _check_witness(machine, lines, by_machine[machine], ledger)
    for machine, expected in tones.items():
        told = _tones_told(by_machine[machine], expected)
        ledger.faults_told += len(told)
        if told != list(expected):
            ledger.problems.append(f"{machine}: of the faults {expected} only {told} were received")
    return ledger


def _check_messages(messages: list[Record], ledger: Ledger) -> dict[str, Record]:
    """The alerts by ``event_id``, in the order of their first arrival."""
    alerts: dict[str, Record] = {}
    payloads: dict[str, str] = {}
    newest: dict[str, int] = {}
    for message in messages:
        alert = json.loads(message["payload"])
        event_id, machine = alert["event_id"], alert["machine"]
        if event_id in payloads:
            ledger.duplicated += 1
            if payloads[event_id] != message["payload"]:
                ledger.problems.append(f"event_id {event_id} belongs to two messages")
        payloads[event_id] = message["payload"]
        alerts.setdefault(event_id, alert)
        if alert["sequence"] < newest.get(machine, 0):
            ledger.problems.append(
                f"{machine}: {alert['sequence']} arrived after {newest[machine]}"
            )
        newest[machine] = max(alert["sequence"], newest.get(machine, 0))
    ledger.received = len(alerts)
    ledger.kinds = dict(Counter(alert["kind"] for alert in alerts.values()))
    return alerts


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


def _check_witness(machine: str, lines: list[Record], alerts: list[Record], ledger: Ledger) -> None:
    received = {alert["event_id"]: alert for alert in alerts}
    returned = {line["event_id"] for line in lines if line["event"] == "returned"}
    for number, line in enumerate(lines):
        if line["event"] == "returned":
            ledger.returned += 1
            ledger.in_memory += line["in_memory"]
            if line["event_id"] not in received:
                ledger.lost += 1
                ledger.problems.append(f"{machine}: number {line['sequence']} is lost")
            continue
        ledger.decided += 1
        follower = lines[number + 1] if number + 1 < len(lines) else None
        if follower and follower["event"] == "returned" and follower["life"] == line["life"]:
            continue
        if any(a["score"] == line["score"] and i not in returned for i, a in received.items()):
            ledger.arrived_unreturned += 1
        elif follower is not None:
            ledger.decided_again += 1
        else:
            ledger.lost += 1
            ledger.problems.append(f"{machine}: {line['kind']} was never decided again")


def _tones_told(alerts: list[Record], tones: tuple[float, ...]) -> list[float]:
    """The tones of the alerts, repetitions left out."""
    told: list[float] = []
    for alert in alerts:
        heard = [
            tone
            for tone in sorted(set(tones))
            if any(low - 200 < tone < high + 200 for low, high in alert.get("bands_hz", ()))
        ]
        # A span with only a part of the fault has other bands too.
        plain = alert["score"] > _PLAIN_FAULT * alert["threshold"]
        if plain and len(heard) == 1 and heard != told[-1:]:
            told += heard
    return told
