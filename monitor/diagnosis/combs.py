"""Rates by their harmonics: a comb of lines is far less often chance than one line.

The value of a rate is the sum of its first harmonics, each limited, divided by the deviation of
such a sum by chance. The number of harmonics is the one that gives the largest value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.diagnosis.segments import peaks_of, place_of
from monitor.domain import DoubleArray, FloatArray

LOWEST_RATE_HZ = 2.0
"""Slower repetition is not distinguished from the slow changes of all sound."""
COUNTS = (1, 2, 3, 5, 8)
_LIMIT_DB = 20.0
_STEPS_A_BIN = 4


@dataclass(frozen=True, slots=True)
class Combs:
    """The value of each rate, in deviations by chance.

    ``values``: float32, shape ``(n_bands, n_rates)``. ``counts``: how many harmonics, the same
    shape.
    """

    values: FloatArray
    counts: npt.NDArray[np.int8]


def first_rate(bin_hz: float) -> int:
    """The lowest rate, in steps from one rate to the next."""
    return max(1, round(LOWEST_RATE_HZ / bin_hz * _STEPS_A_BIN))


def rates_of(n_bins: int, bin_hz: float) -> DoubleArray:
    """The rates for which combs are computed, from ``LOWEST_RATE_HZ`` on. Shape: ``(n_rates,)``."""
    steps = np.arange(first_rate(bin_hz), (n_bins - 1) * _STEPS_A_BIN + 1, dtype=np.float64)
    return steps * (bin_hz / _STEPS_A_BIN)


def combs_of(prominence_db: FloatArray, bin_hz: float, deviation_db: float) -> Combs:
    """Combs in spectra of which the background is 0 dB.

    Shape: ``(n_bands, n_bins)``. ``deviation_db``: of a bin, by chance.
    """
    n_bins = prominence_db.shape[-1]
    places = rates_of(n_bins, bin_hz) / bin_hz
    limited = np.minimum(prominence_db, np.float32(_LIMIT_DB))
    total = np.zeros((len(limited), len(places)), dtype=np.float32)
    best = np.full_like(total, -np.inf)
    counts = np.zeros(total.shape, dtype=np.int8)
    for harmonic in range(1, COUNTS[-1] + 1):
        inside = int(np.searchsorted(places * harmonic, n_bins - 1, side="right"))
        if not inside:
            break
        at = places[:inside] * harmonic
        before = np.minimum(at.astype(np.intp), n_bins - 2)
        share = (at - before).astype(np.float32)
        part = total[:, :inside]
        part += limited[:, before] * (1.0 - share) + limited[:, before + 1] * share
        if harmonic in COUNTS:
            value = part / np.float32(deviation_db * harmonic**0.5)
            better = value > best[:, :inside]
            best[:, :inside][better] = value[better]
            counts[:, :inside][better] = harmonic
    return Combs(best, counts)


@dataclass(frozen=True, slots=True)
class FittedComb:
    """A rate as its harmonics show it.

    ``harmonics``: the numbers of those that stand out, ``levels_db``: how far.
    """

    rate_hz: float
    uncertainty_hz: float
    harmonics: tuple[int, ...]
    levels_db: tuple[float, ...]


def fitted_comb(
    prominence_db: FloatArray, bin_hz: float, rate_hz: float, least_db: float, most: int = 20
) -> FittedComb:
    """The rate near ``rate_hz`` that the places of its harmonics fit best.

    Shape: ``(n_bins,)``. A harmonic is a peak of at least ``least_db`` within a bin and a half,
    or half a percent, of its place. Its place is known to a quarter of a bin at best, so the
    uncertainty is never smaller than that divided by the highest harmonic.
    """
    peaks = peaks_of(prominence_db, least_db, 2)
    places = np.array([place_of(prominence_db, int(peak)) for peak in peaks])
    found: dict[int, tuple[float, float]] = {}
    rate = rate_hz / bin_hz
    for harmonic in range(1, most + 1):
        if not len(places) or rate * harmonic > len(prominence_db):
            break
        nearest = int(np.argmin(np.abs(places - rate * harmonic)))
        if abs(places[nearest] - rate * harmonic) > max(1.5, 0.003 * rate * harmonic):
            continue
        found[harmonic] = (float(places[nearest]), float(prominence_db[peaks[nearest]]))
        numbers = np.array(list(found))
        at = np.array([place for place, _ in found.values()])
        rate = float(numbers @ at / (numbers @ numbers))
    if not found:
        return FittedComb(rate_hz, bin_hz, (), ())
    numbers = np.array(list(found))
    at = np.array([place for place, _ in found.values()])
    spread = float(np.sqrt(np.mean((at - rate * numbers) ** 2))) if len(found) > 1 else 0.5
    error = max(0.25, spread) / float(np.sqrt(numbers @ numbers))
    levels = tuple(level for _, level in found.values())
    return FittedComb(rate * bin_hz, error * bin_hz, tuple(found), levels)
