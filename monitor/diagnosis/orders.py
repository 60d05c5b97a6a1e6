"""New and louder lines at multiples and halves of the speed of the shaft.

Which order is loud with which fault: Randall, *Vibration-based Condition Monitoring* (2011),
chapter 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from monitor.diagnosis.causes import Causes
from monitor.diagnosis.findings import FindingKind, Fit
from monitor.diagnosis.lines import Line, LineComb, multiples
from monitor.diagnosis.mains_lines import MAINS_HZ
from monitor.diagnosis.sound import Spectra

EXACT = 0.0005
_LOW_ORDER = 3.0
_LEAST_HALVES, _LEAST_LOW_HALVES = 3, 2
_CLEARLY_DB = 3.0
_NEAR_MAINS = 0.01
_HIGH_ORDER, _NEAR_ORDER = 8.0, 0.1
Orders = tuple[FindingKind, LineComb, tuple[Fit, ...], str]
"""The kind of finding, its lines, what they fit, and what they are in words."""


def orders_of(
    lines: Sequence[Line], gone: Sequence[Line], sound: Spectra, causes: Causes
) -> Orders | None:
    """Multiples and halves of the speed; None if there are none, or if the speed is not known.

    ``gone``: lines of healthy sound that are missing.
    """
    speed = causes.speed
    if speed is None:
        return None
    bin_hz, relative = sound.plan.bin_hz, max(EXACT, speed.relative)
    halves = multiples(lines, speed.hz / 2.0, relative, bin_hz)
    odd = sorted(number / 2 for number in halves if number % 2)
    low = [order for order in odd if order < _LOW_ORDER]
    # Multiples of 5.5 orders only are those of another rate that happens to be near.
    is_loose = len(low) >= _LEAST_LOW_HALVES or (low and len(odd) >= _LEAST_HALVES)
    if is_loose and math.gcd(*halves) == 1:
        # Without its own orders the machine is not loose: it turns at half the speed.
        fits = () if any(_is_order(line.hz / speed.hz) for line in gone) else causes.looseness()
        orders = ", ".join(f"{order:g}" for order in odd[:6])
        text = f"tones at {orders} times {speed.hz:.4g} Hz"
        return "subharmonics", LineComb.of(halves, bin_hz), fits, text
    whole = multiples(lines, speed.hz, relative, bin_hz)
    if not {1, 2} & set(whole):
        return None
    comb = LineComb.of(whole, bin_hz)
    highest = max(whole, key=lambda number: whole[number].level_db)
    if low:
        fits = ()
    elif highest == 2 and _is_twice(whole, sound, causes):
        fits = causes.misalignment()
    elif 1 not in whole:
        return None
    elif whole[highest].level_db > whole[1].level_db + _CLEARLY_DB:
        fits = causes.of_lines(comb.rate_hz, comb.uncertainty_hz)
    else:
        second = whole.get(2)
        is_strong = second is not None and second.level_db >= whole[1].level_db - _CLEARLY_DB
        fits = causes.once_a_revolution(second_is_strong=is_strong)
    numbers = ", ".join(map(str, sorted(whole)))
    first, where = (1, f"{speed.hz:.4g} Hz itself") if 1 in whole else (2, "twice the speed")
    louder_db = whole[first].level_db
    text = f"louder at {numbers} times {speed.hz:.4g} Hz, by {louder_db:.0f} dB at {where}"
    return "harmonics" if len(whole) >= 3 else "tone", comb, fits, text


def _is_order(order: float) -> bool:
    """Whether a healthy line was at a multiple of about this speed."""
    return order < _HIGH_ORDER and abs(order - round(order)) <= _NEAR_ORDER


def _is_twice(whole: dict[int, Line], sound: Spectra, causes: Causes) -> bool:
    """Whether the line at twice the speed is as loud as at the speed, and of the shaft only.

    Two blades, and a motor whose twice the speed is near a multiple of the mains, have it too.
    """
    speed, shaft = causes.speed, causes.shaft
    if speed is None or not speed.is_measured or 2 in {shaft.blades, shaft.teeth}:
        return False
    if any(abs(whole[2].hz / (2.0 * one) - 1.0) < _NEAR_MAINS for one in MAINS_HZ):
        return False
    once_db, twice_db = (_level_db(sound, number * speed.hz) for number in (1, 2))
    if 1 in whole and whole[2].level_db <= whole[1].level_db + _CLEARLY_DB:
        return False
    return twice_db >= once_db - _CLEARLY_DB


def _level_db(sound: Spectra, hz: float) -> float:
    at = round(hz / sound.plan.bin_hz)
    return float(sound.density_db[max(0, at - 1) : at + 2].max())
