"""Rates in the envelope spectra that healthy sound does not have: impacts and swelling noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from monitor.diagnosis.causes import Causes
from monitor.diagnosis.combs import FittedComb, fitted_comb, rates_of
from monitor.diagnosis.envelopes import HIGHEST_RATE_HZ, Band, bands_of
from monitor.diagnosis.findings import Finding, FindingKind, Fit
from monitor.diagnosis.healthy import Healthy
from monitor.diagnosis.sound import Spectra

_MOST = 2
_LEAST_VALUE = 7.0
_SECOND_SHARE = 0.7
_LEAST_RISE_DB = 3.0
_STANDS_OUT = 3.5
"""A harmonic counts if it is so many deviations above the background."""
_RELATED = tuple(sorted({a / b for a in range(1, 9) for b in range(1, 9)}))
_RELATED_SHARE, _RELATED_BINS = 0.012, 1.5
_WEAKER_DB = 10.0
_FIRST_HARMONICS, _LEAST_HARMONICS = 6, 3
"""Impacts have so many of the first harmonics within ``_WEAKER_DB`` of the strongest."""
_IMPULSIVE = 1.0
_BLOWS = 6.0
"""Kurtosis of a band above healthy sound from which it may be, and from which it is impulsive."""


def new_repeats(sound: Spectra, healthy: Healthy, causes: Causes) -> list[Finding]:
    """The rates that are new, at most two that are not multiples of each other."""
    bands = bands_of(sound.plan.rate_hz)
    excess = healthy.comb_excess(sound)
    excess[sound.combs.values < _LEAST_VALUE] = 0.0
    rates_hz = rates_of(sound.envelope_db.shape[-1], sound.plan.bin_hz)
    findings: list[Finding] = []
    least = healthy.limits.comb
    while len(findings) < _MOST and excess.max(initial=0.0) >= least:
        number, at = np.unravel_index(int(excess.argmax()), excess.shape)
        certainty = float(excess[number, at]) / healthy.limits.comb
        # The harmonics of impacts that are not quite regular are wide, with maxima of their own.
        least = max(least, _SECOND_SHARE * float(excess[number, at]))
        prominence_db = sound.envelope_prominence_db[number]
        least_db = _STANDS_OUT * sound.deviation_db
        fit = fitted_comb(prominence_db, sound.plan.bin_hz, float(rates_hz[at]), least_db)
        for related_hz in (fit.rate_hz * ratio for ratio in _RELATED):
            near_hz = max(_RELATED_SHARE * related_hz, _RELATED_BINS * sound.plan.bin_hz)
            near = np.searchsorted(rates_hz, (related_hz - near_hz, related_hz + near_hz))
            excess[:, near[0] : near[1]] = 0.0
        fit = _lowest_certain(fit)
        if fit.harmonics:
            place = _Place(sound, healthy, int(number), bands[number])
            finding = _finding(place, causes, fit, certainty)
            is_new = all(
                abs(fit.rate_hz / (one.rate_hz or 1.0) - 1.0) > _RELATED_SHARE for one in findings
            )
            if finding.level_db >= _LEAST_RISE_DB and is_new:
                findings.append(finding)
    return _folded(findings, causes)


def _folded(findings: list[Finding], causes: Causes) -> list[Finding]:
    """Without the rates at which the impacts of another finding get stronger and weaker."""
    for one in findings:
        if one.rate_hz is None or one.kind != "impacts":
            continue
        for swelling_hz, tolerance in causes.swelling_rates(one.fits):
            same = [
                other
                for other in findings
                if other is not one
                and other.rate_hz
                and abs(other.rate_hz / swelling_hz - 1.0) <= max(_RELATED_SHARE, tolerance)
            ]
            if same:
                text = f"{one.text}; stronger and weaker {same[0].rate_hz:.1f} times per second"
                certainty = max(other.certainty for other in (one, *same))
                rest = [other for other in findings if other is not one and other not in same]
                return [replace(one, text=text, certainty=certainty), *rest]
    return findings


def _lowest_certain(fit: FittedComb) -> FittedComb:
    """The highest rate of which all found harmonics are multiples.

    A line at 166 Hz alone shows 166 times per second, not 55.3.
    """
    common = math.gcd(*fit.harmonics) if fit.harmonics else 1
    if common == 1:
        return fit
    numbers = tuple(number // common for number in fit.harmonics)
    return FittedComb(fit.rate_hz * common, fit.uncertainty_hz * common, numbers, fit.levels_db)


@dataclass(frozen=True, slots=True)
class _Place:
    """A band of the sound, and the same band of healthy sound."""

    sound: Spectra
    healthy: Healthy
    number: int
    band: Band

    def is_impulsive(self, fit: FittedComb) -> bool:
        """Impacts are short: their harmonics fall slowly. A swelling has one, or weak ones.

        Where no second harmonic can be seen, the kurtosis decides.
        """
        first = [
            level_db
            for harmonic, level_db in zip(fit.harmonics, fit.levels_db, strict=True)
            if harmonic <= _FIRST_HARMONICS
        ]
        strong = sum(level_db >= max(first) - _WEAKER_DB for level_db in first)
        calm = max(float(one.kurtosis[self.number]) for one in self.healthy.pieces)
        over = float(self.sound.kurtosis[self.number]) - calm
        is_peaked = over >= _IMPULSIVE
        if over >= _BLOWS:
            return True
        if 2.0 * fit.rate_hz > HIGHEST_RATE_HZ:
            return is_peaked
        if strong >= _LEAST_HARMONICS or len(first) > _LEAST_HARMONICS:
            return True
        return is_peaked and len(first) == _LEAST_HARMONICS

    def rise_db(self, rate_hz: float) -> float:
        """How much more the band's loudness varies at this rate than in healthy sound."""
        at = round(rate_hz / self.sound.plan.bin_hz)
        near = slice(max(0, at - 2), at + 3)
        levels_db = [
            float(one.envelope_db[self.number, near].max(initial=-np.inf))
            for one in (self.sound, *self.healthy.pieces)
        ]
        return levels_db[0] - float(np.median(levels_db[1:]))


def _finding(place: _Place, causes: Causes, fit: FittedComb, certainty: float) -> Finding:
    rate_hz, error_hz = fit.rate_hz, fit.uncertainty_hz
    kind: FindingKind = "broadband"
    fits = causes.of_swelling_noise(rate_hz, error_hz)
    what = f"noise from {place.band} that swells {rate_hz:.1f} times per second"
    if place.is_impulsive(fit):
        kind = "impacts"
        fits = causes.of_impacts(rate_hz, error_hz)
        what = f"{rate_hz:.1f} impacts per second, found from {place.band}"
    named = {fit.cause for fit in fits}
    hidden = causes.hidden_parts(rate_hz, error_hz, HIGHEST_RATE_HZ / 2.0)
    fits += tuple(fit for fit in hidden if fit.cause not in named)
    return Finding(
        kind,
        rate_hz=rate_hz,
        rate_uncertainty_hz=error_hz,
        order=causes.order_of(rate_hz),
        level_db=place.rise_db(rate_hz),
        certainty=certainty,
        text=f"{what}: {fits_text(fits, causes, rate_hz)}",
        fits=fits,
        band=place.band,
        harmonics=fit.harmonics,
    )


def fits_text(fits: tuple[Fit, ...], causes: Causes, rate_hz: float) -> str:
    """What the rate fits, in words. Several causes are all named."""
    if fits:
        return "fits " + ", or ".join(fit.text for fit in fits)
    order = causes.order_of(rate_hz)
    if order is None:
        return "the speed of the shaft is not known, so no cause is named"
    return f"{order:.3g} times in a revolution, which fits none of the known causes"
