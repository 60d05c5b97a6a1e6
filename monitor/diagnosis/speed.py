"""The speed of the shaft, from the comb of lines that its turns make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.diagnosis.combs import fitted_comb
from monitor.diagnosis.mains_lines import near_mains
from monitor.diagnosis.segments import widest
from monitor.diagnosis.sound import Spectra
from monitor.domain import DoubleArray, FloatArray

SLOWEST_HZ, FASTEST_HZ = 5.0, 70.0
"""Where a speed that nobody has given is looked for. A comb above is more often one of blades."""
_STEP = 0.0005
_ORDERS = 20
_LIMIT_DB = 12.0
_MISSED_DB = 3.0
_HIGHEST_HZ = 1_500.0
_MUST_HAVE = 4
_RELATED = tuple(a / b for a in range(1, 7) for b in range(1, 7))
_ADVANTAGE = 1.25
_ASKED = 5
_SAME = 0.01
_LINE_BINS = 2.0
_NARROW = 1.3


@dataclass(frozen=True, slots=True)
class ShaftSpeed:
    """Revolutions per second and their uncertainty.

    ``is_measured``: found in the sound; otherwise it is only what the configuration states.
    ``is_given``: within what the configuration states.
    """

    hz: float
    uncertainty_hz: float
    is_measured: bool
    is_given: bool

    @property
    def relative(self) -> float:
        """The uncertainty as a share."""
        return self.uncertainty_hz / self.hz


def measured_speed(
    sound: Spectra, low_hz: float, high_hz: float, *, must_have: int = _MUST_HAVE
) -> tuple[float, float] | None:
    """The speed from ``low_hz`` to ``high_hz`` whose multiples stand out, and its uncertainty.

    None if the first order or fewer than ``must_have`` of the first eight stand out, or if a speed
    that is no simple multiple or fraction of it fits nearly as well. Of these eight, at most one
    may be at a multiple of the mains: it may be hum.
    """
    evidence = _evidence(sound)
    high_hz = min(high_hz, (len(evidence) - 2) * sound.plan.bin_hz)
    if low_hz > high_hz:
        return None
    grid = np.geomspace(low_hz, max(high_hz, low_hz * (1 + 2 * _STEP)), _steps(low_hz, high_hz))
    scores, matched = _scores(evidence, grid / sound.plan.bin_hz, sound.plan.bin_hz, must_have)
    has_first = evidence[np.rint(grid / sound.plan.bin_hz).astype(np.intp)] > 0.0
    scores[~has_first & (must_have >= _MUST_HAVE)] = -np.inf
    best = int(scores.argmax())
    if scores[best] <= 0.0 or matched[best] < must_have:
        return None
    ratios = grid / grid[best]
    related = np.abs(ratios[:, np.newaxis] / np.array(_RELATED) - 1.0).min(axis=1) < 0.012
    if (scores[~related] * _ADVANTAGE > scores[best]).any():
        return None
    fit = fitted_comb(
        sound.prominence_db,
        sound.plan.bin_hz,
        float(grid[best]),
        max(4.0, 4.0 * sound.deviation_db),
        _ORDERS,
    )
    if not fit.harmonics:
        return None
    return fit.rate_hz, fit.uncertainty_hz


def _steps(low_hz: float, high_hz: float) -> int:
    return max(3, int(np.log(high_hz / low_hz) / _STEP) + 1)


def _evidence(sound: Spectra) -> FloatArray:
    """How far each bin and its neighbours stand out, limited, 0 for noise. Shape: ``(n_bins,)``."""
    above = sound.prominence_db - np.float32(4.0 * sound.deviation_db)
    limited = np.clip(above, 0.0, _LIMIT_DB)
    return widest(limited, np.ones(len(limited), dtype=np.intp))


def _scores(
    evidence: FloatArray, speeds: DoubleArray, bin_hz: float, must_have: int
) -> tuple[DoubleArray, DoubleArray]:
    """For each speed, in bins: the evidence at its orders less that by chance, and how many of
    the first eight stand out, 0 if they may be hum. Shape: ``(n_speeds,)`` each.

    A line at a multiple of the mains counts for nothing, but that there is none counts.
    """
    orders = np.arange(1, _ORDERS + 1)
    places = np.rint(np.outer(speeds, orders)).astype(np.intp)
    inside = places < len(evidence)
    values = np.where(inside, evidence[np.minimum(places, len(evidence) - 1)], 0.0)
    chance = float(evidence[: max(1, int(speeds[-1] * _ORDERS))].mean())
    weights = 1.0 / np.sqrt(np.maximum(1.0, orders / 6.0))
    missed = (values <= 0.0) & (orders <= 6)
    counted = ~near_mains(places * bin_hz, _LINE_BINS * bin_hz)
    excess = np.where(counted, values, np.minimum(values, chance)) - chance
    scores = ((excess - _MISSED_DB * missed) * weights).sum(axis=1)
    matched = (values[:, :8] > 0.0).sum(axis=1)
    turning = ((values > 0.0) & counted)[:, :8].sum(axis=1)
    return scores, np.where(turning >= max(1, must_have - 1), matched, 0).astype(np.float64)


def shaft_speed(
    alert: Spectra,
    healthy: Sequence[Spectra],
    given_hz: tuple[float, float] | None,
    ratios: Sequence[float] | None = None,
) -> ShaftSpeed | None:
    """The speed in the alert, from its sound, healthy sound and what is given.

    A given range is where the speed is looked for. If the sound has a clear comb elsewhere only,
    the given range is not believed: then None. Without a range, the healthy sound must have a
    clear comb, the same in most pieces, and the alert one within 3 % of it. ``ratios``: the speed
    in the alert divided by that in each healthy piece; 1 without.
    """
    pairs = list(zip(healthy, ratios or [1.0] * len(healthy), strict=True))[:_ASKED]
    if given_hz is not None:
        return _near(alert, pairs, *given_hz)
    base = _agreed([_scaled(measured_speed(one, SLOWEST_HZ, FASTEST_HZ), by) for one, by in pairs])
    if base is None:
        return None
    found = measured_speed(alert, base[0] * 0.97, base[0] * 1.03, must_have=2)
    hz, uncertainty_hz = found or (base[0], max(base[1], 0.01 * base[0]))
    return ShaftSpeed(hz, uncertainty_hz, is_measured=True, is_given=False)


def _scaled(speed: tuple[float, float] | None, ratio: float) -> tuple[float, float] | None:
    return None if speed is None else (speed[0] * ratio, speed[1] * ratio)


def _agreed(found: Sequence[tuple[float, float] | None]) -> tuple[float, float] | None:
    """The speed that most pieces have within one percent; None if there is none."""
    measured = [one for one in found if one is not None]
    for hz, uncertainty_hz in measured:
        same = [other for other, _ in measured if abs(other / hz - 1.0) < _SAME]
        if len(same) * 2 > len(found):
            return float(np.median(same)), max(uncertainty_hz, float(np.std(same)))
    return None


def _near(
    alert: Spectra, healthy: Sequence[tuple[Spectra, float]], low_hz: float, high_hz: float
) -> ShaftSpeed | None:
    asked = [(alert, 1.0), *healthy]
    if high_hz > _NARROW * low_hz:
        # In a wide range, a fault of the alert may have a rate that looks like a speed.
        asked = [*healthy, (alert, 1.0)]
    for sound, ratio in asked:
        low, high = max(low_hz / ratio, low_hz), min(high_hz / ratio, high_hz)
        found = measured_speed(sound, low, high, must_have=3) if low <= high else None
        if found is not None:
            hz, uncertainty_hz = found[0] * ratio, found[1] * ratio
            inside = measured_speed(alert, hz * 0.99, hz * 1.01, must_have=1)
            hz, uncertainty_hz = inside or (hz, max(uncertainty_hz, 0.005 * hz))
            return ShaftSpeed(hz, uncertainty_hz, is_measured=True, is_given=True)
    for sound in (alert, *(one for one, _ in healthy)):
        other = measured_speed(sound, SLOWEST_HZ, FASTEST_HZ)
        if other is not None and not _is_related(other[0], low_hz, high_hz):
            return None
    middle, half = (low_hz + high_hz) / 2.0, (high_hz - low_hz) / 2.0
    return ShaftSpeed(middle, half, is_measured=False, is_given=True)


def _is_related(hz: float, low_hz: float, high_hz: float) -> bool:
    """Whether a comb may be that of blades, or of a half, of a speed in the range."""
    return any(low_hz * 0.99 <= hz / n <= high_hz * 1.01 for n in (*range(1, 13), 0.5))
