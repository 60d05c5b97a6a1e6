"""``auscult history``: what happened to a machine, as text, JSON or CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monitor.clock import rfc3339
from monitor.commands.history_file import history_file
from monitor.commands.history_overview import history_of_all
from monitor.commands.history_text import event_text, finding_of, local, row_cells, summary, zone
from monitor.commands.output import ResultFile, columns, emit, message, refuse_shared_output
from monitor.errors import UsageError
from monitor.history.reader import HistoryReader
from monitor.history.records import Event, Minute
from monitor.text.wording import counted

_DAY_S = 86_400.0
_STEPS_MIN = (1, 5, 15, 60, 180, 360, 1440, 7 * 1440, 30 * 1440)
_MOST_ROWS = 32
_MOST_EVENTS = 200
_MOST_JSON_EVENTS = 10_000
_LEFT_OUT = {("operation", None), ("updated", None), ("evidence", "kept")}
"""Kind and value of events that the text leaves out, because there are many; not the first one with
a finding."""
_HEADER = ("TIME", "MEAN", "HIGHEST", "LEVEL", "STATE", "RUNNING", "SCORED")
CSV_COLUMNS = (
    *("at", "minutes", "ratio_min", "ratio_mean", "ratio_max", "level_dbfs", "operation", "state"),
    *("scored_s", "received_s", "lost_s", "running_s", "n_scores"),
)


def history(
    config: Path | None,
    machine: str | None,
    since_s: float,
    until_s: float,
    *,
    csv_path: Path | None,
    as_json: bool,
) -> None:
    """Print or export the history of a machine, or list all of them.

    Times are Unix times in seconds. ``config``: that of the daemon. None: config.toml in this
    folder, or else the service.
    """
    if until_s <= since_s:
        raise UsageError("--until must be later than --since")
    refuse_shared_output({"--csv": csv_path}, as_json=as_json)
    reader = HistoryReader(history_file(config))
    if machine is None:
        if csv_path is not None:
            names = ", ".join(reader.machines()) or "none"
            raise UsageError(f"--csv needs a machine; the history has: {names}")
        history_of_all(reader, since_s, until_s, as_json=as_json)
        return
    if machine not in (known := reader.machines()):
        raise UsageError(
            f'the history has no machine "{machine}"; it has: {", ".join(known) or "none"}'
        )
    if csv_path is not None:
        with ResultFile(csv_path, "--csv") as file:
            number = _write_csv(file, _finest(reader, machine, since_s, until_s))
        if not file.is_standard_output:
            message(f"{csv_path}: {counted(number, 'row')}")
        if not as_json:
            return
    step_min = _step_min((until_s - since_s) / 60.0)
    since_s = math.floor(since_s / step_min / 60.0) * step_min * 60.0
    n_rows = math.ceil((until_s - since_s) / step_min / 60.0)
    rows = reader.overview(machine, since_s, since_s + 60.0 * step_min * n_rows, n_rows)
    events = reader.events(
        machine=machine, since_s=since_s, until_s=until_s, limit=_MOST_JSON_EVENTS
    )[::-1]
    alerts = reader.alerts(machine=machine, since_s=since_s, until_s=until_s, limit=1000)
    document = {
        "machine": machine,
        "since": rfc3339(since_s),
        "until": rfc3339(until_s),
        "rows": [_row_object(row) for row in rows],
        "alerts": [asdict(alert) for alert in alerts],
        "events": [asdict(event) for event in events],
    }
    lines = [
        f"{machine} from {local(since_s)} to {local(until_s)} ({zone(until_s)})",
        summary(rows, alerts),
        *_table(rows, step_min),
        *_event_lines(events),
    ]
    emit(document, lines, as_json=as_json)


def _step_min(minutes: float) -> int:
    """The minutes of each row, so that a time fits on a screen."""
    fitting = (one for one in _STEPS_MIN if minutes / one <= _MOST_ROWS)
    return next(fitting, math.ceil(minutes / _MOST_ROWS / 1440) * 1440)


def _table(rows: Sequence[Minute], step_min: int) -> Iterator[str]:
    if not rows:
        return
    yield ""
    yield f"Scores are divided by the threshold. Each row is {_length(step_min)}."
    yield from columns([_HEADER, *(row_cells(row) for row in rows)])


def _event_lines(events: Sequence[Event]) -> Iterator[str]:
    found: dict[str, str] = {}
    shown = []
    for event in events:
        finding = finding_of(event)
        is_new = bool(finding) and found.get(event.alert_id) != finding
        found |= {event.alert_id: finding} if finding else {}
        if is_new or not {(event.kind, None), (event.kind, event.value)} & _LEFT_OUT:
            shown.append(event)
    if not shown:
        return
    yield ""
    if (hidden := len(shown) - _MOST_EVENTS) > 0:
        yield f"{counted(hidden, 'earlier event')} not shown: choose a shorter time, or --json"
    for event in shown[-_MOST_EVENTS:]:
        yield f"{local(event.at_unix_s)}  {event_text(event)}"


def _finest(
    reader: HistoryReader, machine: str, since_s: float, until_s: float
) -> Iterator[Minute]:
    """Minutes, or hours or days where minutes are deleted already; one day in memory at a time."""
    n_days = max(1, math.floor((until_s - since_s) / _DAY_S))
    for day in reader.overview(machine, since_s, until_s, n_days):
        day_s = 60.0 * day.minute
        first_s = max(day_s, since_s)
        last_s = min(day_s + 60.0 * day.minutes, until_s)
        yield from reader.overview(machine, first_s, last_s, 1440 * math.ceil(day.minutes / 1440))


def _write_csv(file: ResultFile, rows: Iterable[Minute]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    number = 0
    for number, row in enumerate(rows, start=1):  # noqa: B007 - counts
        values = _row_object(row)
        writer.writerow("" if values[name] is None else values[name] for name in CSV_COLUMNS)
    return number


def _row_object(row: Minute) -> dict[str, Any]:
    values = row._asdict()
    del values["minute"]
    return {"at": rfc3339(row.start_s), **values}


def _length(minutes: int) -> str:
    for size, noun in ((1440, "day"), (60, "hour")):
        if minutes % size == 0:
            return counted(minutes // size, noun)
    return counted(minutes, "minute")
