"""Every fault of the field as one table: recordings, names, clocks, brokers, chains, training sets.

    python -m benchmarks.field [--only clock broker]

A row for each case: the seconds of sound that were read, the result, and the message that the user
gets. Each kind is also a module of its own, which describes it. Ends with status 1 if a recording
is read short without a message, a name reaches an output unescaped, an alert is lost or dated in
the future, a broker gets no alert that it could take, a recording chain raises an alert, or a
training set with a faulty recording is used as it is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks._page import write_section
from benchmarks.field import brokers, chains, clock_steps, names, training_sets
from benchmarks.field.recordings import corpus
from benchmarks.field.rows import Row, show

RATES_HZ = (8_000, 16_000, 44_100, 48_000)


def recordings(folder: Path) -> Iterator[Row]:
    """Every format and rate, with every fault that the format can have."""
    for one in corpus(folder, RATES_HZ):
        wrong = "read short without a message" if one.is_silent_loss else ""
        result = "refused" if one.message else "read"
        case = f"{one.name}, {one.fault}"
        yield Row("recording", case, result, one.message, one.read_s, one.there_s, wrong)


KINDS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "recording": recordings,
    "name": names.rows,
    "clock": clock_steps.rows,
    "broker": brokers.rows,
    "chain": chains.rows,
    "training": training_sets.rows,
}


def main() -> int:
    """Print the table, and write that of the kinds to the documentation; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), help="kinds")
    chosen = parser.parse_args().only
    kinds, status = show(row for kind in chosen for row in _rows(kind))
    if chosen == list(KINDS):
        write_section("field", kinds)
    return status


def _rows(kind: str) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        yield from KINDS[kind](Path(folder))


if __name__ == "__main__":
    sys.exit(main())
