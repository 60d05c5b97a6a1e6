"""How quickly a long history is read and written, and how large it is.

    python -m benchmarks.history [--machines 50] [--days 365]

A file is filled with random values for every minute, and with an alert a day for each machine. The
times are those of ``HistoryReader``, as the web page and ``auscult history`` use it: the median and
the longest of several calls for random machines and days. *cold* is the first call after the file
was removed from the page cache.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil

from monitor.clock import rfc3339
from monitor.history.file import database_bytes
from monitor.history.reader import HistoryReader
from monitor.history.records import Event
from monitor.history.schema import PERIODS
from monitor.history.store import HistoryStore
from monitor.history.tally import COLUMNS, Tally
from monitor.history.writer import HistoryWriter

DAY_S = 86_400.0
START_S = 1_767_225_600.0
"""2026-01-01."""
N_CALLS = 50
ALL_DAY = "the last day of all machines, 96 points each"
ALL_YEAR = "a year of all machines, a point a day"
TARGET_DAY_MS, TARGET_YEAR_MS = 50.0, 300.0
_VALUES = {
    "ratio_min": "1000 + abs(random()) % 2000",
    "ratio_sum": "480000 + abs(random()) % 240000",
    "ratio_max": "6000 + abs(random()) % 6000",
    "n_scores": "120",
    "level_sum": "-180000 + random() % 10000",
    "level_time": "600",
    "state": "iif(abs(random()) % 50, 'ok', 'anomaly')",
    "state_time": "600",
    "running_time": "iif(start / 30 % 3, 600, 0)",
    "off_time": "iif(start / 30 % 3, 0, 600)",
    "scored_time": "600",
    "received_time": "600",
    "lost_time": "0",
}


def name_of(machine: int) -> str:
    return f"machine-{machine}"


def fill(path: Path, machines: int, days: int) -> None:
    """Write every minute, its hours and days, and alerts, without the delay of real time."""
    store = HistoryStore(path)
    connection = store._connection
    connection.execute("PRAGMA synchronous = OFF")
    store.write({(name_of(one), 0): Tally() for one in range(machines)}, [], durable=False)
    for table in PERIODS:
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - constants
    first, count = int(START_S // 60), days * 1440
    columns = ", ".join(COLUMNS)
    values = ", ".join(_VALUES[name] for name in COLUMNS)
    for machine_id in range(1, machines + 1):
        connection.execute(
            f"INSERT INTO minutes (machine_id, start, {columns}) WITH RECURSIVE"  # noqa: S608 - constants
            " all_minutes (start) AS (SELECT ? UNION ALL SELECT start + 1 FROM all_minutes"
            f" WHERE start < ?) SELECT ?, start, {values} FROM all_minutes",
            (first, first + count - 1, machine_id),
        )
    joined = ", ".join(
        f"{'min' if name == 'ratio_min' else 'max' if name in {'ratio_max', 'state'} else 'sum'}"
        f"({name})"
        for name in COLUMNS
    )
    for table, length in (("quarters", 15), ("hours", 60), ("days", 1440)):
        connection.execute(
            f"INSERT INTO {table} (machine_id, start, {columns})"  # noqa: S608 - constants
            f" SELECT machine_id, start - start % {length}, {joined} FROM minutes GROUP BY 1, 2"
        )
    for day in range(days):
        store.write({}, [one for m in range(machines) for one in alert(m, day)], durable=False)
    store.close()


def alert(machine: int, day: int) -> Iterator[Event]:
    """The messages of an alert, and the changes of the state around it."""
    name = f"{machine:08x}-{day:04x}-7000-8000-000000000000"
    for number, kind in enumerate(("state", "raised", *["updated"] * 6, "cleared", "state")):
        at_s = START_S + day * DAY_S + 3600.0 * (machine % 24) + 300.0 * number
        is_state = kind == "state"
        payload = {"at": rfc3339(at_s), "bands_hz": [[500.0, 700.0]], "bundle_sha256": "0" * 64}
        yield Event(
            at=rfc3339(at_s),
            at_unix_s=at_s,
            machine=name_of(machine),
            kind=kind,
            value="anomaly" if is_state else "",
            alert_id="" if is_state else name,
            event_id="" if is_state else f"{name}-{number}",
            payload=payload | {"peak_score": 9.0, "threshold": 6.0, "kind": kind},
        )


def forget_cache(path: Path) -> None:
    """Remove the file from the page cache."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """How many milliseconds a call takes, and how many of the processor."""
    began_s, processor_s = time.perf_counter(), time.process_time()
    call()
    spent_s = time.process_time() - processor_s
    return 1000.0 * (time.perf_counter() - began_s), 1000.0 * spent_s


def measure(path: Path, machines: int, days: int) -> dict[str, list[tuple[float, float]]]:
    """What ``timed`` gives for each call, by what is read; the first call of each is cold."""
    reader, numbers = HistoryReader(path), random.Random(1)  # noqa: S311 - no secret
    end_s = START_S + days * DAY_S
    everyone = [name_of(one) for one in range(machines)]

    def machine() -> str:
        return name_of(numbers.randrange(machines))

    def day() -> object:
        since_s = START_S + numbers.randrange(days) * DAY_S
        return reader.minutes(machine(), since_s, since_s + DAY_S)

    calls: dict[str, Callable[[], object]] = {
        "a day of a machine, every minute": day,
        "a year of a machine, 1000 points": lambda: reader.overview(machine(), START_S, end_s),
        ALL_DAY: lambda: reader.overviews(everyone, end_s - DAY_S, end_s, 96),
        ALL_YEAR: lambda: reader.overviews(everyone, START_S, end_s, 366),
        "the newest 200 alerts": reader.alerts,
        "the newest 1000 events of a machine": lambda: reader.events(machine=machine()),
        "the next 1000 events for a notification": lambda: reader.news(
            reader.last_position() - 1000
        ),
    }
    found = {}
    for name, call in calls.items():
        forget_cache(path)
        found[name] = [timed(call) for _ in range(N_CALLS)]
    return found


def write_minutes(path: Path, machines: int, days: int) -> tuple[float, float]:
    """Minutes of all machines, as the daemon writes them: milliseconds of the processor and kB
    written for one minute."""
    numbers = random.Random(2)  # noqa: S311 - no secret
    process = psutil.Process()
    collect_s = min(HistoryWriter.MOST_COLLECT_S, HistoryWriter.COLLECT_S * machines)
    at_once = max(1, round(collect_s / 60.0))
    with closing(HistoryStore(path)) as store:
        before, began_s = process.io_counters().write_bytes, time.process_time()
        n_minutes = 60
        for number in range(0, n_minutes, at_once):
            first = int(START_S // 60) + days * 1440 + number
            rows = {}
            for machine in range(machines):
                for minute in range(first, first + at_once):
                    tally = Tally(state="ok", state_time=600, received_time=600, scored_time=600)
                    for _ in range(120):
                        tally.add_ratio(numbers.random())
                    rows[name_of(machine), minute] = tally
            store.write(rows, [], durable=False)
        spent_s = time.process_time() - began_s
    written = process.io_counters().write_bytes - before
    return 1000.0 * spent_s / n_minutes, written / n_minutes / 1000.0


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=50)
    parser.add_argument("--days", type=int, default=365)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.sqlite3"
        fill(path, options.machines, options.days)
        rows = options.machines * options.days * 1440
        size = database_bytes(path)
        print(f"{options.machines} machines, {options.days} days: {size / 1e6:.0f} MB,")
        print(f"{size / rows:.0f} bytes for each minute of a machine")
        found = measure(path, options.machines, options.days)
        for name, times in found.items():
            walls, processor = zip(*times[1:], strict=True)
            print(f"{name}: median {statistics.median(walls):.1f} ms, ", end="")
            print(f"longest {max(walls):.1f} ms, cold {times[0][0]:.1f} ms, ", end="")
            print(f"{statistics.median(processor):.1f} ms of the processor")
        spent_ms, written_kb = write_minutes(path, options.machines, options.days)
        print(f"writing a minute of all: {spent_ms:.1f} ms of the processor, {written_kb:.0f} kB")
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        medians = {
            name: statistics.median(one for one, _ in times) for name, times in found.items()
        }
        day, year, *_ = medians.values()
    is_quick = max(day, medians[ALL_DAY]) < TARGET_DAY_MS
    return 0 if is_quick and max(year, medians[ALL_YEAR]) < TARGET_YEAR_MS else 1


if __name__ == "__main__":
    sys.exit(main())
