"""Measure whether extrapolated thresholds stay within their budget of false alarms.

    python -m benchmarks.detection.budget [--seeds 3]

First on simulated healthy scores with a known distribution
(:mod:`benchmarks.detection.simulated_scores`). Then on the drone, if its recordings are installed
(:mod:`benchmarks.detection.resplits`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks._page import write_section
from benchmarks.detection import resplits
from benchmarks.detection.cases import DATA
from benchmarks.detection.command import lacking, run
from benchmarks.detection.simulated_scores import KINDS
from monitor.calibration.tail import rare_threshold

NEEDED = ()
ALLOWED = 1e-5
CALIBRATIONS = 40
SIZES = ((170, 1), (16, 1), (16, 8), (8, 4), (2, 60))
_COLUMNS = (
    "simulated healthy values",
    "recordings, values each",
    "within the budget",
    "alarms / allowed alarms",
    "threshold / true threshold",
)
HEADER = (f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|")


def simulated_rows() -> Iterator[str]:
    """A row for each distribution and number of recordings."""
    for kind in KINDS:
        for n_recordings, n_values in SIZES:
            if 0 < kind.often * n_recordings < 1:  # no recording is in the louder state
                continue
            rng = np.random.default_rng(0)
            thresholds = [
                rare_threshold(kind.draw(n_recordings, n_values, rng), ALLOWED, seed)
                for seed in range(CALIBRATIONS)
            ]
            rates = np.array([kind.alarms(t, n_values) for t in thresholds]) / ALLOWED
            over = np.sqrt(np.median(thresholds) / kind.truth(n_values, ALLOWED))
            yield (
                f"| {kind.name} | {n_recordings}, {n_values} | {np.mean(rates <= 1):.0%} "
                f"| {rates.mean():.1f} | {over:.2f} |"
            )


def measure(seeds: int) -> None:
    """Measure, print, and write to the documentation."""
    tables = ["\n".join((*HEADER, *simulated_rows()))]
    print(tables[0], flush=True)
    if missing := lacking(resplits.NEEDED):
        print(f"{resplits.__name__}: skipped, {DATA} has no {', '.join(missing)}")
    else:
        with tempfile.TemporaryDirectory() as name:
            tables.append("\n".join((*resplits.HEADER, *resplits.rows(seeds, Path(name)))))
        print(tables[1])
    write_section("budget", "\n\n".join(tables))


if __name__ == "__main__":
    run(__doc__, NEEDED, measure)
