"""New lines as findings: hum, orders of the shaft, sidebands, harmonics, and what is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from monitor.diagnosis.causes import Causes
from monitor.diagnosis.findings import Finding, FindingKind, Fit
from monitor.diagnosis.healthy import Healthy
from monitor.diagnosis.lines import (
    LOWEST_HZ,
    Line,
    LineComb,
    multiples,
    new_lines,
    without,
)
from monitor.diagnosis.orders import EXACT, orders_of
from monitor.diagnosis.repeats import fits_text
from monitor.diagnosis.sidebands import sidebands
from monitor.diagnosis.sound import Spectra

_MOST_TONES = 2
_PULSE_LINES, _PULSE_HIGHEST = 8, 10
"""So many multiples of a rate, up to so high a one, are short pulses."""


def line_findings(
    sound: Spectra,
    healthy: Healthy,
    causes: Causes,
    rhythms: Sequence[Finding] = (),
    gone: Sequence[Line] = (),
) -> list[Finding]:
    """All that the lines of the spectrum show. ``gone``: healthy lines that are missing.

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
    # Hum does not move if the speed varies.
    fixed = rest if sound.raw is sound else new_lines(sound.raw, healthy)
    findings: list[Finding] = []
    finders: tuple[Callable[[list[Line]], _Found], ...] = (
        lambda _: _hum(fixed, causes, bin_hz),
        lambda left: _orders(left, gone, sound, causes),
        lambda left: _harmonics(left, causes, bin_hz),
    )
    for find in finders:
        found = find(rest)
        if found is not None:
            findings.append(found[0])
            rest = without(rest, found[1].lines.values())
    beside = _sidebands(rest, sound, healthy, causes)
    if beside is not None:
        findings.append(beside[0])
        rest = without(rest, beside[1])
    # Impacts whose strength changes make lines of many frequencies, each weaker than all together.
    rest = [line for line in rest if line.strength > loudest]
    strongest = sorted(rest, key=lambda line: -line.strength)[:_MOST_TONES]
    findings += [_tone(line, causes, bin_hz) for line in strongest]
    return findings + [_missing(line, causes, bin_hz) for line in gone[:1]]


def _without_multiples(
    lines: list[Line], rate_hz: float, error_hz: float, causes: Causes, bin_hz: float
) -> list[Line]:
    """The lines that are no multiples of a rate, nor beside one by one or two revolutions.

    Only if at least three are multiples: otherwise the rhythm makes no lines.
    """
    relative = max(EXACT, error_hz / rate_hz)
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
        found = multiples(lines, mains_hz, EXACT, bin_hz)
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


def _orders(lines: Sequence[Line], gone: Sequence[Line], sound: Spectra, causes: Causes) -> _Found:
    found = orders_of(lines, gone, sound, causes)
    if found is None:
        return None
    kind, comb, fits, text = found
    text = f"{text}: {fits_text(fits, causes, comb.rate_hz)}"
    return _finding(kind, comb, causes, fits, text), comb


def _harmonics(lines: Sequence[Line], causes: Causes, bin_hz: float) -> _Found:
    """The rate of which most lines are multiples, if at least four are."""
    candidates = {line.hz / number for line in lines for number in range(1, 5)}
    best: dict[int, Line] = {}
    for rate_hz in sorted(candidates):
        if rate_hz < LOWEST_HZ:
            continue
        found = multiples(lines, rate_hz, EXACT, bin_hz)
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
    speed_hz = causes.speed.hz if causes.speed is not None else None
    found = sidebands(lines, sound, healthy, speed_hz)
    if found is None:
        return None
    carrier_hz, distance_hz, pairs = found
    error_hz = 0.25 * sound.plan.bin_hz
    fits = causes.of_impacts(distance_hz, error_hz)
    text = (
        f"sidebands {distance_hz:.2f} Hz apart around {carrier_hz:.1f} Hz: that tone changes "
        f"{distance_hz:.2f} times per second, {fits_text(fits, causes, distance_hz)}"
    )
    comb = LineComb(dict(enumerate(pairs, 1)), distance_hz, error_hz)
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
