"""New lines as findings: hum, orders of the shaft, sidebands, harmonics, and what is left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from monitor.diagnosis.causes import Causes
from monitor.diagnosis.findings import Finding, FindingKind, Fit
from monitor.diagnosis.healthy import Healthy
from monitor.diagnosis.lines import (
    LOWEST_HZ,
    Line,
    LineComb,
    lines_gone,
    multiples,
    new_lines,
    without,
)
from monitor.diagnosis.repeats import fits_text
from monitor.diagnosis.segments import peaks_of, place_of
from monitor.diagnosis.sound import Spectra

_EXACT = 0.0005
_MOST_TONES = 2
_LOW_ORDER = 3.0
_CARRIER_DB = 15.0
_PULSE_LINES, _PULSE_HIGHEST = 8, 10
"""So many multiples of a rate, up to so high a one, are short pulses."""
_LEAST_SIDEBANDS = 2
_SIDEBANDS_FROM = 5.0
"""A carrier is at least so many times the distance of its sidebands."""


def line_findings(
    sound: Spectra, healthy: Healthy, causes: Causes, rhythms: Sequence[Finding] = ()
) -> list[Finding]:
    """All that the lines of the spectrum show.

    ``rhythms``: found before. Lines at their multiples are theirs, because regular impacts make
    lines too, except at the speed of the shaft.
    """
    bin_hz = sound.plan.bin_hz
    speed = causes.speed
    rest = new_lines(sound, healthy, speed.hz if speed is not None else None)
    loudest = 0.0
    for rhythm in rhythms:
        rate_hz, error_hz = rhythm.rate_hz, rhythm.rate_uncertainty_hz
        if not rate_hz or not error_hz or _is_shaft(rate_hz, causes):
            continue
        loudest = max(loudest, rhythm.certainty)
        rest = _without_multiples(rest, rate_hz, error_hz, causes, bin_hz)
    findings: list[Finding] = []
    for find in (_hum, _orders, _harmonics):
        found = find(rest, causes, bin_hz)
        if found is not None:
            findings.append(found[0])
            rest = without(rest, found[1].lines.values())
    sidebands = _sidebands(rest, sound, healthy, causes)
    if sidebands is not None:
        findings.append(sidebands[0])
        rest = without(rest, sidebands[1])
    # Impacts whose strength changes make lines of many frequencies, each weaker than all together.
    rest = [line for line in rest if line.strength > loudest]
    strongest = sorted(rest, key=lambda line: -line.strength)[:_MOST_TONES]
    findings += [_tone(line, causes, bin_hz) for line in strongest]
    return findings + [_missing(line, causes, bin_hz) for line in lines_gone(sound, healthy)[:1]]


def _without_multiples(
    lines: list[Line], rate_hz: float, error_hz: float, causes: Causes, bin_hz: float
) -> list[Line]:
    """The lines that are no multiples of a rate, nor beside one by one or two revolutions.

    Only if at least three are multiples: otherwise the rhythm makes no lines.
    """
    relative = max(_EXACT, error_hz / rate_hz)
    own = multiples(lines, rate_hz, relative, bin_hz)
    if len(own) < 3:
        return lines
    speed_hz = causes.speed.hz if causes.speed is not None else 0.0
    for shift_hz in (0.0, speed_hz, -speed_hz, 2 * speed_hz, -2 * speed_hz):
        beside = {replace(line, hz=line.hz - shift_hz): line for line in lines}
        found = multiples(beside, rate_hz, relative, bin_hz)
        lines = without(lines, [beside[line] for line in found.values()])
    return lines


def _is_shaft(rate_hz: float, causes: Causes) -> bool:
    return causes.speed is not None and abs(rate_hz / causes.speed.hz - 1.0) < 0.01


_Found = tuple[Finding, LineComb] | None


def _hum(lines: Sequence[Line], causes: Causes, bin_hz: float) -> _Found:
    """Multiples of the mains, if the speed of the shaft does not explain them as well."""
    given = causes.shaft.mains_hz
    for mains_hz in (given,) if given is not None else (50.0, 60.0):
        found = multiples(lines, mains_hz, _EXACT, bin_hz)
        if len(found) < (2 if given is not None else 3) or not {1, 2} & set(found):
            continue
        comb = LineComb.of(found, bin_hz)
        if abs(comb.rate_hz - mains_hz) > max(0.002 * mains_hz, comb.uncertainty_hz):
            continue
        order = causes.order_of(comb.rate_hz)
        if order is not None and abs(2 * order - round(2 * order)) < 0.02:
            continue
        numbers = ", ".join(f"{number * mains_hz:g}" for number in sorted(found))
        text = f"tones at {numbers} Hz, multiples of the {mains_hz:g} Hz of the mains"
        return _finding("hum", comb, causes, (), text), comb
    return None


def _orders(lines: Sequence[Line], causes: Causes, bin_hz: float) -> _Found:
    """Multiples and halves of the speed of the shaft."""
    speed = causes.speed
    if speed is None:
        return None
    relative = max(_EXACT, speed.relative)
    halves = multiples(lines, speed.hz / 2.0, relative, bin_hz)
    odd = sorted(number / 2 for number in halves if number % 2)
    # Multiples of 5.5 orders only are those of another rate that happens to be near.
    if len(odd) >= 3 and math.gcd(*halves) == 1 and odd[0] < _LOW_ORDER:
        comb = LineComb.of(halves, bin_hz)
        fits = causes.looseness()
        orders = ", ".join(f"{order:g}" for order in odd[:6])
        text = f"tones at {orders} times {speed.hz:.4g} Hz: {fits_text(fits, causes, comb.rate_hz)}"
        return _finding("subharmonics", comb, causes, fits, text), comb
    whole = multiples(lines, speed.hz, relative, bin_hz)
    if 1 not in whole:
        return None
    comb = LineComb.of(whole, bin_hz)
    others = [line.level_db for number, line in whole.items() if number > 1]
    if max(others, default=0.0) > whole[1].level_db + 3.0:
        fits = causes.of_lines(comb.rate_hz, comb.uncertainty_hz)
    else:
        second = whole.get(2)
        is_strong = second is not None and second.level_db >= whole[1].level_db - 3.0
        fits = causes.once_a_revolution(second_is_strong=is_strong)
    numbers = ", ".join(map(str, sorted(whole)))
    text = (
        f"louder at {numbers} times {speed.hz:.4g} Hz, by {whole[1].level_db:.0f} dB at "
        f"{speed.hz:.4g} Hz itself: {fits_text(fits, causes, comb.rate_hz)}"
    )
    kind: FindingKind = "harmonics" if len(whole) >= 3 else "tone"
    return _finding(kind, comb, causes, fits, text), comb


def _harmonics(lines: Sequence[Line], causes: Causes, bin_hz: float) -> _Found:
    """The rate of which most lines are multiples, if at least four are."""
    candidates = {line.hz / number for line in lines for number in range(1, 5)}
    best: dict[int, Line] = {}
    for rate_hz in sorted(candidates):
        if rate_hz < LOWEST_HZ:
            continue
        found = multiples(lines, rate_hz, _EXACT, bin_hz)
        # A fraction of the true rate has as many lines; the highest rate is the true one.
        if sum(number <= 6 for number in found) >= 3 and len(found) >= len(best):
            best = found
    if len(best) < 4:
        return None
    comb = LineComb.of(best, bin_hz)
    rate_hz, error_hz = comb.rate_hz, comb.uncertainty_hz
    if len(best) >= _PULSE_LINES and max(best) >= _PULSE_HIGHEST:
        fits = causes.of_impacts(rate_hz, error_hz)
        text = f"{rate_hz:.1f} impacts per second, strictly regular, with tones at their multiples "
        text += f"up to {max(best) * rate_hz:.0f} Hz: {fits_text(fits, causes, rate_hz)}"
        return _finding("impacts", comb, causes, fits, text), comb
    fits = causes.of_lines(rate_hz, error_hz)
    numbers = ", ".join(map(str, sorted(best)))
    text = f"tones at {numbers} times {rate_hz:.2f} Hz: {fits_text(fits, causes, rate_hz)}"
    return _finding("harmonics", comb, causes, fits, text), comb


def _sidebands(
    lines: Sequence[Line], sound: Spectra, healthy: Healthy, causes: Causes
) -> tuple[Finding, list[Line]] | None:
    """New lines at equal distances on both sides of a strong line that healthy sound has too.

    One pair may be chance. Two pairs are not, and neither is a pair at the speed of the shaft.
    """
    bin_hz = sound.plan.bin_hz
    peaks = peaks_of(sound.prominence_db, _CARRIER_DB, 2)
    peaks = peaks[healthy.is_known_line()[peaks]]
    carriers_hz = [place_of(sound.prominence_db, int(peak)) * bin_hz for peak in peaks]
    best: tuple[float, float, list[Line]] = (0.0, 0.0, [])
    for low, high in combinations(lines, 2):
        middle_hz, distance_hz = (low.hz + high.hz) / 2.0, (high.hz - low.hz) / 2.0
        near = [hz for hz in carriers_hz if abs(hz - middle_hz) <= 0.6 * bin_hz]
        if not near or distance_hz < 2.0 or middle_hz < _SIDEBANDS_FROM * distance_hz:
            continue
        at = [near[0] + side * n * distance_hz for n in (1, 2, 3) for side in (-1, 1)]
        pairs = [line for line in lines if any(abs(line.hz - hz) <= bin_hz for hz in at)]
        speed = causes.speed
        is_shaft = speed is not None and abs(distance_hz - speed.hz) <= 0.6 * bin_hz
        enough = len(pairs) >= (_LEAST_SIDEBANDS if is_shaft else 2 * _LEAST_SIDEBANDS)
        if enough and len(pairs) > len(best[2]):
            best = (near[0], distance_hz, pairs)
    carrier_hz, distance_hz, pairs = best
    if not pairs:
        return None
    fits = causes.of_impacts(distance_hz, 0.25 * bin_hz)
    text = (
        f"sidebands {distance_hz:.2f} Hz apart around {carrier_hz:.1f} Hz: that tone changes "
        f"{distance_hz:.2f} times per second, {fits_text(fits, causes, distance_hz)}"
    )
    comb = LineComb(dict(enumerate(pairs, 1)), distance_hz, 0.25 * bin_hz)
    return _finding("sidebands", comb, causes, fits, text), pairs


def _tone(line: Line, causes: Causes, bin_hz: float) -> Finding:
    comb = LineComb({1: line}, line.hz, 0.25 * bin_hz)
    fits = causes.of_lines(line.hz, comb.uncertainty_hz)
    text = f"a tone of {line.hz:.1f} Hz, {line.level_db:.0f} dB above healthy sound: "
    return _finding("tone", comb, causes, fits, text + fits_text(fits, causes, line.hz))


def _missing(line: Line, causes: Causes, bin_hz: float) -> Finding:
    comb = LineComb({1: line}, line.hz, 0.5 * bin_hz)
    fits = causes.of_lines(line.hz, comb.uncertainty_hz)
    text = (
        f"the tone of {line.hz:.1f} Hz, which all healthy sound has, is missing "
        f"({line.level_db:.0f} dB)"
    )
    return _finding("missing", comb, causes, fits, text)


def _finding(
    kind: FindingKind, comb: LineComb, causes: Causes, fits: tuple[Fit, ...], text: str
) -> Finding:
    return Finding(
        kind,
        rate_hz=comb.rate_hz,
        rate_uncertainty_hz=comb.uncertainty_hz,
        order=causes.order_of(comb.rate_hz),
        level_db=comb.level_db,
        certainty=comb.strength,
        text=text,
        fits=fits,
        harmonics=tuple(sorted(comb.lines)),
    )
