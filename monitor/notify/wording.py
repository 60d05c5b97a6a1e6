"""The texts of messages, in plain text without markup.

apprise escapes it for each service (``child.py``). Here, text of others becomes one line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Literal

from monitor.clock import local_time
from monitor.notify.incident import Incident
from monitor.text.escaping import one_line
from monitor.text.wording import bands_text, counted, duration, rounded

MOST_LINES = 20
"""Of a message about several incidents; the others are counted, except those with notes."""
_MOST_WITH_ID = 5
"""If a message is about more alerts, their ids would take the space of other lines."""
PROVISIONAL = (
    "The threshold is not yet tested on enough sound: "
    "there can be more false alarms than the budget allows"
)
"""The web page says the same of a machine and of an alert."""
_MOST_CHARACTERS = 200
_SPECIAL = re.compile(r"[@<]|\](?=[(\[])")
"""Some services take "@everyone" and "<!channel>" for a call, and "[text](address)" for a link,
also in text that is declared as plain. A character that nobody sees is put after these."""
_WORD_JOINER = "\N{WORD JOINER}"


@dataclass(frozen=True, slots=True)
class Message:
    """``mood``: how it is shown, for example with which colour."""

    title: str
    body: str
    mood: Literal["failure", "success", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Wording:
    """How messages are written. ``zone``: None is the zone of the computer. ``web_url``: the
    address of the web page, empty without one."""

    now: datetime
    zone: tzinfo | None = None
    web_url: str = ""

    def message(self, incidents: Sequence[Incident], left_out: Mapping[str, int]) -> Message:
        """The message about these incidents, and the number of those that were left out.

        A new alert is a message of its own, with a line for each incident of the same machine
        that waited before it.
        """
        *earlier, newest = incidents
        new_alerts = [one for one in incidents if one.is_new_alert]
        is_of_one_machine = all(one.machine == newest.machine for one in earlier)
        is_single = not earlier and not left_out
        if is_single or (new_alerts == [newest] and is_of_one_machine):
            return self._single(newest, earlier, left_out)
        return self._several(incidents, left_out)

    def test(self, name: str) -> Message:
        """The message of ``auscult notify --test``."""
        at = self._time(self.now.astimezone(UTC).isoformat())
        return Message(
            "Auscult: test",
            f"This is a test of the target {name}, sent at {at}. Alerts will arrive here.",
            "info",
        )

    def _single(
        self, one: Incident, earlier: Sequence[Incident], left_out: Mapping[str, int]
    ) -> Message:
        mood: Literal["failure", "success", "warning"] = (
            "success" if one.has_ended else "failure" if one.severity == "alarm" else "warning"
        )
        lines = self._details(one)
        if earlier:
            lines += ["Before that:", *self._list(earlier)]
        return Message(self._line(one), "\n".join(lines + _left_out(left_out)), mood)

    def _several(self, incidents: Sequence[Incident], left_out: Mapping[str, int]) -> Message:
        machines = list(dict.fromkeys(one.machine for one in incidents))
        are_alerts = all(one.kind == "alert" for one in incidents)
        what = counted(len(incidents), "alert" if are_alerts else "message")
        where = quoted(machines[0]) if len(machines) == 1 else counted(len(machines), "machine")
        lines = self._list(incidents) + _left_out(left_out)
        if self.web_url:
            lines.append(f"{self.web_url}/alerts")
        open_alarm = any(one.severity == "alarm" and not one.has_ended for one in incidents)
        return Message(f"{what}, {where}", "\n".join(lines), "failure" if open_alarm else "info")

    def _list(self, incidents: Sequence[Incident]) -> list[str]:
        """A line for each, and below it what operators noted about it."""
        listed = [n for n, one in enumerate(incidents) if n < MOST_LINES or one.remarks]
        has_id = len(incidents) <= _MOST_WITH_ID
        lines = []
        for one in map(incidents.__getitem__, listed):
            lines.append(self._line(one) + self._short(one))
            lines += _found(one)
            lines += _noted(one)
            if has_id and one.kind == "alert":
                lines.append(f"Alert {quoted(one.key)}")
        others = [one for n, one in enumerate(incidents) if n not in set(listed)]
        if more := _by_machine(others):
            lines.append(f"And {more}.")
        return lines

    def _line(self, one: Incident) -> str:
        """``pump-7: alarm since 03:12 CET``."""
        machine = quoted(one.machine)
        what = _what(one)
        if not one.has_ended:
            return f"{machine}: {what} since {self._time(one.started_at)}"
        if one.is_sent and one.kind == "source":
            return f"{machine}: its sound can be judged again since {self._time(one.ended_at)}"
        if one.is_sent:
            return f"{machine}: {what} ended at {self._time(one.ended_at)}"
        begin, end = self._time(one.started_at), self._time(one.ended_at)
        if begin.rpartition(" ")[2] == end.rpartition(" ")[2]:
            begin = begin.rpartition(" ")[0]  # the zone is written once
        return f"{machine}: {what} from {begin} to {end}"

    def _short(self, one: Incident) -> str:
        if one.kind != "alert" or one.peak_ratio is None:
            return f" ({quoted(one.text)})" if one.text else ""
        return f" (score {rounded(one.peak_ratio, 2)} x threshold)"

    def _details(self, one: Incident) -> list[str]:
        lines = []
        if one.text:
            lines.append(quoted(one.text))
        lines += _measured(one)
        if one.has_ended:
            why = ", the machine was switched off" if one.end_reason == "stopped" else ""
            lines.append(f"Lasted {duration(one.lasted_s())}{why}")
        if one.times > 1:
            lines.append(f"It came back {counted(one.times - 1, 'time')} after a stop")
        if one.provisional:
            lines.append(PROVISIONAL)
        lines += _noted(one)
        if one.kind == "alert":
            if self.web_url:
                lines.append(f"{self.web_url}/alert/{one.key}")
            lines.append(f"Alert {quoted(one.key)}")
        elif self.web_url:
            lines.append(f"{self.web_url}/machine/{one.machine}")
        return lines

    def _time(self, at: str) -> str:
        """The time of the day in the zone, with the zone, and with the date if it is another."""
        try:
            local = local_time(datetime.fromisoformat(at).timestamp(), self.zone)
        except (ValueError, OverflowError):
            return quoted(at)
        is_today = local.date() == local_time(self.now.timestamp(), self.zone).date()
        return local.strftime("%H:%M %Z" if is_today else "%Y-%m-%d %H:%M %Z")


def quoted(text: str) -> str:
    """Text of others: one short line that calls nobody and makes no link in a chat."""
    line = one_line(" ".join(text.split()))
    if len(line) > _MOST_CHARACTERS:
        line = line[:_MOST_CHARACTERS] + "..."
    return _SPECIAL.sub(rf"\g<0>{_WORD_JOINER}", line)


def _what(one: Incident) -> str:
    if one.kind == "source":
        return "its sound cannot be judged"
    if one.kind == "warning":
        return "warning"
    return "the machine is off" if one.reason == "off" else "alarm"


def _measured(one: Incident) -> list[str]:
    lines = []
    if one.peak_ratio is not None and one.ratio is not None:
        peak = f"at most {rounded(one.peak_ratio, 2)} x"
        now = f"{rounded(one.ratio, 2)} x"
        lines.append(f"Score {peak if one.has_ended else now} the threshold")
        if not one.has_ended and one.peak_ratio > 1.05 * one.ratio:
            lines[-1] += f", {peak} since it began"
        if one.span_s > 0.0:
            again = ", in which short sounds come again and again" if one.is_recurring else ""
            lines.append(f"Measured over {duration(one.span_s)} of sound{again}")
    if one.bands_hz:
        lines.append(f"Frequencies {bands_text(one.bands_hz)}")
    lines += _found(one)
    if one.operation:
        lines.append(f"Operation {quoted(one.operation)}")
    return lines


def _found(one: Incident) -> list[str]:
    return [f"Found: {quoted(one.finding)}"] if one.finding else []


def _by_machine(incidents: Sequence[Incident]) -> str:
    numbers: dict[str, int] = {}
    for one in incidents:
        numbers[one.machine] = numbers.get(one.machine, 0) + 1
    return f"{len(incidents)} more: {_numbers(numbers)}" if incidents else ""


def _noted(one: Incident) -> list[str]:
    return [_capitalised(quoted(remark)) for remark in one.remarks]


def _left_out(by_machine: Mapping[str, int]) -> list[str]:
    if not by_machine:
        return []
    return [f"Before that, alerts that have ended: {_numbers(by_machine)}."]


def _numbers(by_machine: Mapping[str, int]) -> str:
    return ", ".join(f"{quoted(machine)} {number}" for machine, number in by_machine.items())


def _capitalised(line: str) -> str:
    return line[:1].upper() + line[1:]
