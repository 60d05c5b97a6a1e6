"""The dates of alerts, compared with the clock of the daemon."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from benchmarks._chaos.clocks import WallClock
from benchmarks._chaos.ledger import Record

_SETTING_S = 0.05
"""The clock may be set so long before this is recorded."""
_READ_S = 0.1
_TRUE_CLOCK_S = 0.05
"""How exactly the true time is known."""
_UNCERTAIN_S, _UNCERTAIN_AFTER_S = 30.0, 1.5
"""An alert may be dated so much before or after its decision: smaller steps are corrections."""


@dataclass
class Dates:
    """What was found about dates. ``problems`` is empty unless a guarantee was broken.

    ``future``: alerts with a date in the future when they were sent or received.
    ``across_boots``: alerts that were sent in a later boot than they were decided in.
    ``redated``: alerts for which the clock was set by a second or more while they waited.
    """

    future: int = 0
    across_boots: int = 0
    redated: int = 0
    problems: list[str] = field(default_factory=list)


def check_dates(witness: list[Record], messages: list[Record], clock: WallClock) -> Dates:
    """Compare the dates of all messages with the record of the daemon and with the plan."""
    dates = Dates()
    returned = {line["event_id"]: line for line in witness if line["event"] == "returned"}
    sent: dict[str, list[Record]] = defaultdict(list)
    for line in witness:
        if line["event"] == "sent":
            sent[line["event_id"]].append(line)
            _check_clock(line, clock, dates)
    future: set[str] = set()
    across_boots: set[str] = set()
    redated: set[str] = set()
    for message in messages:
        alert = json.loads(message["payload"])
        event_id = alert["event_id"]
        if alert.get("started_at", alert["at"]) > alert["at"]:
            dates.problems.append(f"{event_id} is dated before its start")
        sending = _sending(message, alert, sent[event_id])
        if sending is None:
            dates.problems.append(f"{event_id} was received, but not sent with this date")
            continue
        ahead_s = _unix_s(alert["at"]) - max(_readings_s(sending, clock)) - _TRUE_CLOCK_S
        if ahead_s > 0:
            future.add(event_id)
            dates.problems.append(f"{event_id} is dated {ahead_s:.3f} s in the future")
        decided = returned.get(event_id)
        if decided is None:
            continue
        if decided["boot"] != sending["boot"]:
            across_boots.add(event_id)
        elif decided["by_clock"]:
            if abs(_clock_offset_s(decided) - _clock_offset_s(sending)) > 1.0:
                redated.add(event_id)
            _check_age(alert, decided, sending, clock, dates)
    dates.future = len(future)
    dates.across_boots, dates.redated = len(across_boots), len(redated)
    return dates


def _sending(message: Record, alert: Record, sent: list[Record]) -> Record | None:
    """The last sending of this message with this date before it arrived."""
    before = [
        line for line in sent if line["at_s"] <= message["at_s"] and line["date"] == alert["at"]
    ]
    return before[-1] if before else None


def _readings_s(sending: Record, clock: WallClock) -> list[float]:
    """What the clock may have shown, by the plan, when the alert got its date."""
    begun_s, ended_s = sending["dated_s"]
    readings = clock.readings_s(begun_s - _SETTING_S, ended_s + _SETTING_S)
    return [reading + _SETTING_S + ended_s - begun_s for reading in readings]


def _clock_offset_s(line: Record) -> float:
    return float(line["clock_s"] - line["at_s"])


def _check_clock(line: Record, clock: WallClock, dates: Dates) -> None:
    """The clock of the daemon must show what the plan has set."""
    readings = clock.readings_s(line["at_s"] - _READ_S, line["at_s"] + _READ_S)
    if min(abs(line["clock_s"] - reading - _READ_S) for reading in readings) > _READ_S:
        dates.problems.append(f"the daemon did not have the clock of the plan at {line['at_s']:g}")


def _check_age(
    alert: Record, decided: Record, sending: Record, clock: WallClock, dates: Dates
) -> None:
    """Within one boot the date is the moment of the decision, by the clock at the dating."""
    waited_s = sending["dated_s"][1] - decided["at_s"]
    date_s = _unix_s(alert["at"])
    errors_s = [date_s - (reading_s - waited_s) for reading_s in _readings_s(sending, clock)]
    if not any(-_UNCERTAIN_S <= error_s <= _UNCERTAIN_AFTER_S for error_s in errors_s):
        error_s = min(errors_s, key=abs)
        dates.problems.append(f"{alert['event_id']} is dated {error_s:+.1f} s from its decision")


def _unix_s(date: str) -> float:
    return datetime.fromisoformat(date).timestamp()
