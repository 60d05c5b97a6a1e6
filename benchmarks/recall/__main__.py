"""Measure how many faults raise an alert at one false alarm a week.

    python -m benchmarks.recall [--only fan drone] [--seeds 3] [--levels -12 -18] [--json FILE]

Faults of three kinds (:mod:`training.sound.injected_faults`) are mixed into healthy recordings that
were not trained on. Their level is relative to that of the recording. Each machine is trained as
a user would train it. The cells of the first table are the share of recordings that raise an
alert, the share whose score is over that of every healthy piece, and AUC / partial AUC.

Trainings and replays are kept in ``runs/recall``. The command
``python -m benchmarks.recall --only motor --seeds 1`` takes less than two minutes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks._machine import one_thread
from benchmarks._page import write_section
from benchmarks.detection.command import exit_without
from benchmarks.recall import rows
from benchmarks.recall.figures import MachineFigures, figures_of
from benchmarks.recall.machines import NAMES, machines
from benchmarks.recall.replayed import learned, replayed
from training.sound.injected_faults import LEVELS_DB


def tables(results: list[MachineFigures], levels_db: list[float]) -> str:
    """All tables."""
    parts = (
        rows.mixed_in(results, levels_db),
        rows.joined(results, levels_db),
        rows.real(results),
        rows.machines(results),
    )
    return "\n\n".join(part for part in parts if part)


def main() -> None:
    """Measure and print; write to the documentation if everything was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=[], metavar="SET")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--levels", type=float, nargs="+", default=list(LEVELS_DB))
    parser.add_argument("--json", type=Path, help="also write every outcome to this file")
    options = parser.parse_args()
    exit_without(parser, ["."])
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(options.seeds):
            for machine in machines(Path(scratch), seed, options.only):
                known = learned(machine)
                sounds = replayed(machine, known, options.levels)
                results.append(figures_of(machine.name, seed, known, sounds))
                print(f"{machine.name}, seed {seed}: measured", flush=True)
    text = tables(results, options.levels)
    print(text)
    if options.json:
        options.json.write_text(json.dumps([result.to_dict() for result in results], indent=1))
    if not options.only and tuple(options.levels) == LEVELS_DB:
        write_section("recall", f"{options.seeds} seeds.\n\n{text}")


if __name__ == "__main__":
    one_thread()
    main()
