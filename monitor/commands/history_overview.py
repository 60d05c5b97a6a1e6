"""``auscult history`` without a machine: all machines of the history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.clock import rfc3339
from monitor.commands.history_text import highest_ratio, local, zone
from monitor.commands.output import columns, emit
from monitor.history.reader import HistoryReader
from monitor.text.wording import duration

_HEADER = ("MACHINE", "SCORED", "RUNNING", "NO SOUND", "HIGHEST", "ALERTS", "LAST VALUE")
_MOST_ALERTS = 100_000


@dataclass(frozen=True, slots=True)
class _Machine:
    """A machine in a time. ``last_s``: the newest minute with sound or scores; None without any."""

    machine: str
    scored_s: float
    running_s: float | None
    lost_s: float
    ratio_max: float | None
    alerts: int
    open_alerts: int
    last_s: float | None

    def fields(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "scored_s": self.scored_s,
            "running_s": self.running_s,
            "lost_s": self.lost_s,
            "ratio_max": self.ratio_max,
            "alerts": self.alerts,
            "open_alerts": self.open_alerts,
            "last_at": None if self.last_s is None else rfc3339(self.last_s),
        }

    def cells(self) -> tuple[str, ...]:
        is_open = f" ({self.open_alerts} open)" if self.open_alerts else ""
        return (
            self.machine,
            duration(self.scored_s),
            "" if self.running_s is None else duration(self.running_s),
            duration(self.lost_s) if self.lost_s >= 1 else "",
            "" if self.ratio_max is None else f"{self.ratio_max:.2f}",
            f"{self.alerts}{is_open}",
            "" if self.last_s is None else local(self.last_s),
        )


def history_of_all(reader: HistoryReader, since_s: float, until_s: float, *, as_json: bool) -> None:
    """Print a line for each machine. Times are Unix times in seconds."""
    machines = [_of_machine(reader, name, since_s, until_s) for name in reader.machines()]
    document = {
        "since": rfc3339(since_s),
        "until": rfc3339(until_s),
        "machines": [one.fields() for one in machines],
    }
    emit(document, _lines(machines, since_s, until_s), as_json=as_json)


def _of_machine(reader: HistoryReader, name: str, since_s: float, until_s: float) -> _Machine:
    rows = reader.overview(name, since_s, until_s)
    alerts = reader.alerts(machine=name, since_s=since_s, until_s=until_s, limit=_MOST_ALERTS)
    knows_operation = any(row.operation is not None for row in rows)
    return _Machine(
        name,
        round(sum(row.scored_s for row in rows), 1),
        round(sum(row.running_s for row in rows), 1) if knows_operation else None,
        round(sum(row.lost_s for row in rows), 1),
        highest_ratio(rows, alerts),
        len(alerts),
        sum(alert.cleared_unix_s is None for alert in alerts),
        reader.last_value_s(name, since_s, until_s),
    )


def _lines(machines: Sequence[_Machine], since_s: float, until_s: float) -> Iterator[str]:
    yield f"all machines from {local(since_s)} to {local(until_s)} ({zone(until_s)})"
    if not machines:
        yield "the history has no machine yet"
        return
    yield from columns([_HEADER, *(one.cells() for one in machines)])
    yield "HIGHEST is the highest score divided by the threshold."
    yield f"One machine in detail: auscult history {machines[0].machine}"
