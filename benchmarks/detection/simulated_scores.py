"""Simulated healthy scores with a known rate above any threshold.

They are squared distances: chi-square distributed, from recordings that are alike, that differ
from each other, or that are of a machine with a quiet and a loud state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SimulatedScores:
    """Chi-square values with ``own`` degrees of freedom, plus an offset for each recording.

    The offset is ``size`` times a chi-square value with ``between`` degrees of freedom. ``louder``
    is added in the share ``often`` of recordings, in which the machine is in its loud state.
    """

    name: str
    own: int
    between: int = 0
    size: float = 0.0
    louder: float = 0.0
    often: float = 0.0

    def draw(self, n_recordings: int, n_values: int, rng: np.random.Generator) -> list[Vector]:
        """The values of ``n_recordings``, of which exactly the share ``often`` is loud."""
        offsets = self._offsets(rng.random(n_recordings))
        offsets[: round(self.often * n_recordings)] += self.louder
        return [offset + rng.chisquare(self.own, n_values) for offset in offsets]

    def alarms(self, threshold: float, n_values: int) -> float:
        """Recordings with a value above the threshold, per value.

        Each recording counts once, because hysteresis keeps an alert raised between two values.
        """
        # As many recordings in every decade of rarity.
        rarity = np.logspace(-9, 0, 20_000)
        offsets = self._offsets(1.0 - rarity)
        quiet, loud = (
            float(np.trapezoid(self._passed(threshold - offsets - more, n_values), rarity))
            for more in (0.0, self.louder)
        )
        return ((1.0 - self.often) * quiet + self.often * loud) / n_values

    def truth(self, n_values: int, allowed: float) -> float:
        """The threshold with ``allowed`` alarms a value, to within a millionth."""
        low, high = 0.0, 10_000.0
        for _ in range(34):
            middle = (low + high) / 2
            low, high = (middle, high) if self.alarms(middle, n_values) > allowed else (low, middle)
        return high

    def _offsets(self, probability: Vector) -> Vector:
        if not self.between:
            return np.zeros_like(probability)
        offsets: Vector = self.size * stats.chi2.ppf(probability, self.between)
        return offsets

    def _passed(self, beyond_offset: Vector, n_values: int) -> Vector:
        """The probability that any value of a recording is above."""
        one = np.minimum(stats.chi2.sf(beyond_offset, self.own), 1.0 - 1e-12)
        chance: Vector = -np.expm1(n_values * np.log1p(-one))
        return chance


ALIKE = (
    SimulatedScores("alike, chi-square of 4", 4),
    SimulatedScores("alike, chi-square of 30", 30),
    SimulatedScores("alike, chi-square of 288", 288),
)
UNLIKE = (
    SimulatedScores("recordings differ as much as values, chi-squares of 8", 8, 8, 1.0),
    SimulatedScores("recordings differ far more, chi-squares of 8 and 2", 8, 2, 4.0),
)
TWO_STATES = tuple(
    SimulatedScores(
        f"two operating states, {often:.0%} in the louder one", 30, louder=60.0, often=often
    )
    for often in (0.125, 0.25, 0.5)
)
KINDS = (*ALIKE, *UNLIKE, *TWO_STATES)
