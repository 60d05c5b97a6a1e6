"""Measure whether running and off are distinguished, and whether a stop is never an alert.

    python -m benchmarks.operation [--only compressor|fan|simulated|noises]

Prints a row for each machine and sound: the share of time in each state (without the first
seconds, in which it is not known), the starts and the alerts. Exits with status 1 if one of
them is not as it must be:

- compressor and desk fan, trained without and with recordings of off: off and running are right
  for at least 95 % of the time, healthy sound and tapping beside the fan that is off raise no
  alert, and every fault of the running fan does
- a stream in which the fan stops during an alert: one alert within 10 s, cleared as stopped
- simulated machines with fifty starts and stops: no alert, and the exact number of starts
- noises beside a machine that is off: no alert
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks._machine import one_thread
from benchmarks.detection.command import exit_without
from benchmarks.operation.beside import noises_beside
from benchmarks.operation.recorded import compressor, fan
from benchmarks.operation.rows import HEADER, Row
from benchmarks.operation.simulated import simulated

PARTS: dict[str, tuple[Callable[[Path], Iterator[Row]], tuple[str, ...]]] = {
    "compressor": (compressor, ("compressor",)),
    "fan": (fan, ("desk_fan",)),
    "simulated": (simulated, ()),
    "noises": (noises_beside, ("compressor", "desk_fan", "esc10_noise")),
}


def main() -> None:
    """Run the parts and print the table."""
    one_thread()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    names = [options.only] if options.only else list(PARTS)
    exit_without(parser, [needed for name in names for needed in PARTS[name][1]])
    problems = 0
    print(HEADER)
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            for row in PARTS[name][0](Path(folder)):
                problems += bool(row.problem)
                print(row, flush=True)
    print(f"{problems} of these are not as they must be")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
