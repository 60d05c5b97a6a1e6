"""Single bins of a spectrum that stand out of healthy recordings.

A fault adds a few narrow peaks among thousands of bins. A distance over all bins hardly sees
them. So each bin is compared with itself in healthy recordings, and the highest ones count.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from monitor.domain import DoubleArray
from monitor.model.stretched_db import slopes_of_stretched, variance_of_noise

_PRIOR_RECORDINGS = 4.0
"""As many recordings as the variance of the bins beside it counts for."""
_PRIOR_BINS = 16
"""So many bins on both sides."""
_LEAST_VARIANCE_DB2 = 0.25
EXPONENTS = (6, 12)
MOST_AMPLITUDE_DB = 20.0


@dataclass(frozen=True, slots=True)
class PeakRule:
    """How the deviations of bins become one score (:mod:`monitor.model.peak_scores`).

    ``exponent``: one of ``EXPONENTS``; the higher one is nearer to the largest deviation.
    ``first_bin``: how many multiples of the spacing the first bin is from 0 Hz. If it is not 0,
    each bin counts together with the one at twice its rate: what repeats has a second harmonic,
    and chance has none. If it is 0, each bin counts alone. ``amplitude_to_db``: up to where the
    prominences grow as the amplitude (:mod:`monitor.model.stretched_db`), 0 for decibels.
    """

    exponent: int = 12
    first_bin: int = 0
    amplitude_to_db: float = 0.0

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for values out of range."""
        if self.exponent not in EXPONENTS:
            raise ValueError(f"the exponent must be one of {EXPONENTS}, not {self.exponent}")
        if self.first_bin < 0:
            raise ValueError(f"the first bin must be at least 0, not {self.first_bin}")
        if not 0.0 <= self.amplitude_to_db <= MOST_AMPLITUDE_DB:
            raise ValueError(
                f"the limit of the amplitude must be from 0 to {MOST_AMPLITUDE_DB:g} dB, "
                f"not {self.amplitude_to_db:g}"
            )

    def of_chance(self, chance_db2: float) -> float:
        """The variance of one window by chance, ``chance_db2`` in ``HealthyPeaks``.

        ``chance_db2``: the variance in decibels that are not stretched.
        """
        return chance_db2 * variance_of_noise(self.amplitude_to_db)


@dataclass(frozen=True, slots=True)
class HealthyPeaks:
    """What the bins of healthy recordings are like.

    ``level_db``, ``variance_db2``: ``(n_bands, n_bins)``, the mean in stretched decibels, and the
    variance between recordings, each the highest of a bin and the ones beside it, because rates
    wander. ``chance_db2``: the variance of one window by chance. ``n_recordings``: at least 2.
    ``rule``: how the deviations become the score. Variances are in decibels: a stretched value
    varies by as much as its decibels times the slope at its level.
    """

    level_db: DoubleArray = field(repr=False)
    variance_db2: DoubleArray = field(repr=False)
    chance_db2: float
    n_recordings: int
    rule: PeakRule = PeakRule()

    @property
    def slope(self) -> DoubleArray:
        """How much the stretched value of a bin grows for a decibel. ``(n_bands, n_bins)``."""
        return slopes_of_stretched(self.level_db, self.rule.amplitude_to_db)


def healthy_peaks(
    means_db: DoubleArray,
    n_windows: npt.NDArray[np.intp],
    chance_db2: float,
    rule: PeakRule = PeakRule(),
) -> HealthyPeaks:
    """The statistics of healthy recordings, each by its mean over its windows.

    ``means_db``: in stretched decibels. The variance between recordings is the variance of the
    means, in decibels, without what is chance. It is
    shrunk to that of the bins around it, because there are few recordings. Shape: ``means_db`` is
    ``(n_recordings, n_bands, n_bins)`` with more than 16 bins, ``n_windows`` is
    ``(n_recordings,)``. Raises ``ValueError`` for fewer than two recordings.
    """
    n_recordings = len(means_db)
    if n_recordings < 2:
        raise ValueError("a variance needs at least two recordings")
    level_db = means_db.mean(axis=0)
    measured = means_db.var(axis=0, ddof=1) / np.square(
        slopes_of_stretched(level_db, rule.amplitude_to_db)
    )
    between = measured - chance_db2 * float((1.0 / n_windows).mean())
    around = np.maximum(0.0, _mean_around(between))
    variance = (n_recordings - 1.0) * np.maximum(0.0, between) + _PRIOR_RECORDINGS * around
    variance /= n_recordings - 1.0 + _PRIOR_RECORDINGS
    return HealthyPeaks(
        level_db=_highest_beside(level_db),
        variance_db2=_highest_beside(variance) + _LEAST_VARIANCE_DB2,
        chance_db2=chance_db2,
        n_recordings=n_recordings,
        rule=rule,
    )


def _mean_around(values: DoubleArray) -> DoubleArray:
    """The mean over each bin and 16 on both sides, mirrored at the ends. Shape in, shape out."""
    padded = np.pad(values, ((0, 0), (_PRIOR_BINS, _PRIOR_BINS)), mode="reflect")
    runs = np.lib.stride_tricks.sliding_window_view(padded, 2 * _PRIOR_BINS + 1, axis=1)
    around: DoubleArray = runs.mean(axis=-1)
    return around


def _highest_beside(values: DoubleArray) -> DoubleArray:
    """The highest of each bin and the two beside it. Shape in, shape out."""
    padded = np.pad(values, ((0, 0), (1, 1)), mode="edge")
    return np.maximum(values, np.maximum(padded[:, :-2], padded[:, 2:]))
