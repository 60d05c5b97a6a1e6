"""Impacts one by one: blows that are far apart, or not in a steady rhythm.

Uneven blows leave no line in an envelope spectrum, but the band in which they are loudest is
impulsive: the kurtogram shows it (Antoni 2007, see ``envelopes``). In that band they are counted.
"""

from __future__ import annotations

import numpy as np

from monitor.diagnosis.envelopes import Band, bands_of
from monitor.diagnosis.findings import Finding
from monitor.diagnosis.healthy import Healthy
from monitor.diagnosis.sound import Spectra
from monitor.domain import DoubleArray, FloatArray

_LEAST_KURTOSIS = 6.0
_OVER_HEALTHY = 4.0
_FRAME_S = 0.004
_LEAST_DB = 15.0
"""A blow is so far above the median of its band, and no quieter than the loudest tenth of all
blows by more than ``_RANGE_DB``."""
_RANGE_DB = 20.0
_APART_S = 0.06
_LEAST_BLOWS = 10
_PARTS = 6
_ALIKE = 0.2
_RHYTHM_SHARE, _RHYTHM_COUNT = 0.35, 8
"""Blows have a rhythm if so many intervals are alike. Of random blows, one in seven is."""
_MOST_CERTAIN = 4.0


def blows(samples: FloatArray, sound: Spectra, healthy: Healthy) -> list[Finding]:
    """At most one finding. Shape: ``(n_samples,)`` at the rate of ``sound``."""
    calm = np.max([one.kurtosis for one in healthy.pieces], axis=0)
    ratio = sound.kurtosis / np.maximum(_LEAST_KURTOSIS, _OVER_HEALTHY * calm)
    number = int(ratio.argmax())
    if ratio[number] < 1.0:
        return []
    band = bands_of(sound.plan.rate_hz)[number]
    times_s, above_db = blow_times_s(samples, sound.plan.rate_hz, band)
    seconds = len(samples) / sound.plan.rate_hz
    filled = np.unique((times_s / seconds * _PARTS).astype(int))
    if len(times_s) < _LEAST_BLOWS or len(filled) < _PARTS - 1:
        return []
    where = f"strongest from {band}, {above_db:.0f} dB above the rest"
    rate_hz, error_hz = rhythm_hz(np.diff(times_s))
    if rate_hz is not None:
        text = f"about {rate_hz:.1f} impacts per second, unevenly or with pauses, {where}"
    else:
        each = len(times_s) / seconds
        text = f"impacts without a steady rhythm, {each:.1f} per second on average, {where}"
    certainty = min(_MOST_CERTAIN, float(ratio[number]))
    return [Finding("impacts", rate_hz, error_hz, None, above_db, certainty, text, (), band)]


def rhythm_hz(intervals_s: DoubleArray) -> tuple[float | None, float | None]:
    """The rate at which most blows follow each other, and its spread; None without such a rate.

    Shape: ``(n_intervals,)``. Pauses between series of blows do not count.
    """
    alike = np.abs(np.log(intervals_s[:, np.newaxis] / intervals_s)) <= _ALIKE
    count = alike.sum(axis=1)
    best = int(count.argmax())
    if count[best] < max(_RHYTHM_COUNT, _RHYTHM_SHARE * len(intervals_s)):
        return None, None
    chosen = intervals_s[alike[best]]
    rate_hz = 1.0 / float(np.mean(chosen))
    return rate_hz, rate_hz * float(np.std(chosen) / np.mean(chosen))


def blow_times_s(samples: FloatArray, rate_hz: int, band: Band) -> tuple[DoubleArray, float]:
    """When blows begin in a band, and how far above its median level they are.

    Shape: ``(n_samples,)`` to ``(n_blows,)``.
    """
    spectrum = np.fft.rfft(samples)
    bin_hz = rate_hz / len(samples)
    part = spectrum[int(band.low_hz / bin_hz) : int(band.high_hz / bin_hz)]
    power = np.abs(np.fft.ifft(part)) ** 2
    frame = max(1, round(_FRAME_S * (band.high_hz - band.low_hz)))
    count = len(power) // frame
    frames = power[: count * frame].reshape(count, frame).mean(axis=1)
    frames_db: DoubleArray = 10.0 * np.log10(frames + 1e-30)
    above_db: DoubleArray = frames_db - np.median(frames_db)
    apart = max(1, round(_APART_S / _FRAME_S))
    padded = np.pad(above_db, apart, constant_values=-np.inf)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * apart + 1).max(axis=1)
    is_peak = (above_db >= around) & (above_db >= _LEAST_DB)
    if not is_peak.any():
        return np.empty(0), 0.0
    loud_db = float(np.quantile(above_db[is_peak], 0.9))
    is_peak &= above_db >= loud_db - _RANGE_DB
    seconds_a_frame = len(samples) / rate_hz / len(power) * frame
    times_s: DoubleArray = np.flatnonzero(is_peak) * np.float64(seconds_a_frame)
    return times_s, float(np.median(above_db[is_peak]))
