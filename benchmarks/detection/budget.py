"""Do thresholds keep their budget where it can only be extrapolated?

    python -m benchmarks.detection.budget [--seeds 3]

First on simulated healthy values of which the truth is known: squared distances of recordings
that are alike (chi-square), and of recordings that differ from each other by more than their own
values do. Then on the drone (:mod:`benchmarks.detection.resplits`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats

from benchmarks._page import write_section
from benchmarks.detection import resplits
from benchmarks.detection.command import run
from monitor.far_quantile import far_quantile

NEEDED = ("uav_propeller",)
ALLOWED = 1e-5
CALIBRATIONS = 40
SIZES = ((170, 1), (16, 8), (2, 60))
_COLUMNS = (
    "simulated healthy values",
    "recordings, values each",
    "kept the budget",
    "alarms per one allowed",
    "threshold over the true one",
)
HEADER = (f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|")

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Healthy:
    """Values ``offset + own`` of chi-squares: ``offset`` one a recording, ``own`` one a value."""

    name: str
    own: int
    between: int = 0
    size: float = 0.0

    def draw(self, n_recordings: int, n_values: int, rng: np.random.Generator) -> list[Vector]:
        """The values of so many recordings."""
        offsets = self._offsets(rng.random(n_recordings))
        return [offset + rng.chisquare(self.own, n_values) for offset in offsets]

    def alarms(self, threshold: float, n_values: int) -> float:
        """Recordings that pass the threshold, per value: an alarm stands while it is passed."""
        # Evenly many recordings in every decade of rarity.
        rarity = np.logspace(-9, 0, 20_000)
        passed = stats.chi2.sf(threshold - self._offsets(1.0 - rarity), self.own)
        in_recording = -np.expm1(n_values * np.log1p(-np.minimum(passed, 1.0 - 1e-12)))
        return float(np.trapezoid(in_recording, rarity)) / n_values

    def truth(self, n_values: int) -> float:
        """The threshold that allows ``ALLOWED`` alarms a value."""
        low, high = 0.0, 10_000.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self.alarms(middle, n_values) > ALLOWED else (low, middle)
        return high

    def _offsets(self, probability: Vector) -> Vector:
        if not self.between:
            return np.zeros_like(probability)
        offsets: Vector = self.size * stats.chi2.ppf(probability, self.between)
        return offsets


KINDS = (
    Healthy("alike, chi-square of 4", 4),
    Healthy("alike, chi-square of 30", 30),
    Healthy("alike, chi-square of 288", 288),
    Healthy("unlike by as much, chi-squares of 8", 8, 8, 1.0),
    Healthy("unlike by far more, chi-squares of 8 and 2", 8, 2, 4.0),
)


def simulated_rows() -> Iterator[str]:
    """A row a kind of healthy values and number of recordings."""
    for kind in KINDS:
        for n_recordings, n_values in SIZES:
            rng = np.random.default_rng(0)
            thresholds = [
                far_quantile(kind.draw(n_recordings, n_values, rng), ALLOWED, seed)
                for seed in range(CALIBRATIONS)
            ]
            rates = np.array([kind.alarms(t, n_values) for t in thresholds]) / ALLOWED
            over = np.sqrt(np.median(thresholds) / kind.truth(n_values))
            yield (
                f"| {kind.name} | {n_recordings}, {n_values} | {np.mean(rates <= 1):.0%} "
                f"| {rates.mean():.1f} | {over:.2f} |"
            )


def measure(seeds: int) -> None:
    """Measure, print and write down."""
    simulated = "\n".join((*HEADER, *simulated_rows()))
    print(simulated, flush=True)
    with tempfile.TemporaryDirectory() as name:
        flown = "\n".join((*resplits.HEADER, *resplits.rows(seeds, Path(name))))
    print(flown)
    write_section("budget", f"{simulated}\n\n{flown}")


if __name__ == "__main__":
    run(__doc__, NEEDED, measure)
