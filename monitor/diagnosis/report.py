"""A diagnosis as JSON-ready values: the findings, and the spectra that they rest on."""

from __future__ import annotations

from typing import Any

import numpy as np

from monitor.diagnosis.diagnose import Diagnosis
from monitor.diagnosis.envelopes import bands_of
from monitor.diagnosis.segments import peaks_of, place_of, widest
from monitor.diagnosis.sound import Spectra
from monitor.diagnosis.third_octaves import mid_bands_hz

_MOST_PEAKS = 12
_STANDS_OUT = 4.0
_ORDERS = tuple(number / 2 for number in range(1, 21))


def described(diagnosis: Diagnosis) -> dict[str, Any]:
    """Everything that was found. Spectra are None if the sound could not be used."""
    speed, sound = diagnosis.speed, diagnosis.sound
    return {
        "findings": [one.to_dict() for one in diagnosis.findings],
        "notes": list(diagnosis.notes),
        "speed": None
        if speed is None
        else {
            "hz": round(speed.hz, 4),
            "uncertainty_hz": round(speed.uncertainty_hz, 4),
            "measured": speed.is_measured,
            "given": speed.is_given,
        },
        "healthy_pieces": len(diagnosis.healthy.pieces)
        if diagnosis.healthy is not None and diagnosis.healthy.has_sound
        else 0,
        "envelope_spectrum": None if sound is None else envelope_peaks(diagnosis, sound),
        "order_spectrum": None
        if sound is None or speed is None
        else order_levels(diagnosis, sound),
        "third_octaves": None if sound is None else third_octave_levels(diagnosis, sound),
    }


def shown_band(diagnosis: Diagnosis, sound: Spectra) -> int:
    """The number of the band whose envelope is shown.

    That of the first finding with a rate in a band, or else the most impulsive one.
    """
    bands = bands_of(sound.plan.rate_hz)
    for one in diagnosis.findings:
        if one.band in bands and one.rate_hz is not None:
            return bands.index(one.band)
    return int(sound.kurtosis.argmax())


def envelope_peaks(diagnosis: Diagnosis, sound: Spectra) -> dict[str, Any]:
    """The band, and the rates that stand out of its envelope spectrum, in order."""
    number = shown_band(diagnosis, sound)
    prominence_db = sound.envelope_prominence_db[number]
    peaks = peaks_of(prominence_db, _STANDS_OUT * sound.deviation_db, 2)
    strongest = sorted(sorted(peaks, key=lambda peak: -prominence_db[peak])[:_MOST_PEAKS])
    band = bands_of(sound.plan.rate_hz)[number]
    healthy = diagnosis.healthy
    others = healthy.pieces if healthy is not None and healthy.has_sound else ()
    before = [
        float(np.median([one.envelope_db[number, peak] for one in others]))
        for peak in (strongest if others else ())
    ]
    return {
        "band_hz": [round(band.low_hz), round(band.high_hz)],
        "kurtosis": round(float(sound.kurtosis[number]), 2),
        "peaks": [
            {
                "rate_hz": round(place_of(prominence_db, int(peak)) * sound.plan.bin_hz, 2),
                "above_background_db": round(float(prominence_db[peak]), 1),
                "above_healthy_db": round(float(sound.envelope_db[number, peak]) - before[at], 1)
                if before
                else None,
            }
            for at, peak in enumerate(strongest)
        ],
    }


def order_levels(diagnosis: Diagnosis, sound: Spectra) -> list[dict[str, Any]]:
    """The level at half and whole multiples of the speed, up to ten, and over healthy sound."""
    speed, healthy = diagnosis.speed, diagnosis.healthy
    if speed is None:
        return []
    reach = np.ones(len(sound.density_db), dtype=np.intp)
    density_db, prominence_db = (
        widest(one, reach) for one in (sound.density_db, sound.prominence_db)
    )
    rows = []
    for order in _ORDERS:
        at = round(order * speed.hz / sound.plan.bin_hz)
        if at >= len(density_db):
            break
        has_sound = healthy is not None and healthy.has_sound
        over_db = float(density_db[at] - healthy.median_density_db[at]) if healthy else 0.0
        rows.append(
            {
                "order": order,
                "hz": round(order * speed.hz, 2),
                "above_background_db": round(float(prominence_db[at]), 1),
                "above_healthy_db": round(over_db, 1) if has_sound else None,
            }
        )
    return rows


def third_octave_levels(diagnosis: Diagnosis, sound: Spectra) -> list[dict[str, Any]]:
    """Each third octave: its level in dB re full scale, and over the median of healthy sound."""
    healthy = diagnosis.healthy
    now_db = sound.thirds_db
    before_db = None
    if healthy is not None and healthy.has_sound:
        before_db = np.median([one.thirds_db for one in healthy.pieces], axis=0)
    return [
        {
            "hz": round(float(mid_hz), 1),
            "level_db": round(float(level_db), 1),
            "above_healthy_db": round(float(level_db - before_db[at]), 1)
            if before_db is not None
            else None,
        }
        for at, (mid_hz, level_db) in enumerate(
            zip(mid_bands_hz(sound.plan.rate_hz / 2.0), now_db, strict=True)
        )
        if np.isfinite(level_db)
    ]
