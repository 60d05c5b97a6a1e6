"""Noise that has become louder in some third octaves."""

from __future__ import annotations

import numpy as np

from monitor.diagnosis.envelopes import Band
from monitor.diagnosis.findings import Finding
from monitor.diagnosis.healthy import Healthy
from monitor.diagnosis.sound import Spectra
from monitor.diagnosis.third_octaves import edges_hz, mid_bands_hz

_MOST_SHARE = 0.7
"""If more of the bands are louder, it may be the gain of the microphone."""
_LEAST_BANDS = 2


def louder_noise(sound: Spectra, healthy: Healthy) -> list[Finding]:
    """The widest run of neighbouring bands that are louder than all healthy sound."""
    excess_db = healthy.third_excess_db(sound)
    is_louder = excess_db >= healthy.limits.third_db
    if not is_louder.any() or is_louder.mean() > _MOST_SHARE:
        return []
    low_hz, high_hz = edges_hz(mid_bands_hz(sound.plan.rate_hz / 2.0))
    runs = np.split(np.arange(len(is_louder)), np.flatnonzero(np.diff(is_louder.astype(int))) + 1)
    louder = [run for run in runs if is_louder[run[0]] and len(run) >= _LEAST_BANDS]
    if not louder:
        return []
    run = max(louder, key=lambda one: float(excess_db[one].sum()))
    band = Band(float(low_hz[run[0]]), float(high_hz[run[-1]]))
    level_db = float(excess_db[run].mean())
    certainty = float(excess_db[run].max()) / healthy.limits.third_db
    text = f"noise from {band} is {level_db:.1f} dB above all healthy sound; no cause is named"
    return [Finding("broadband", None, None, None, level_db, certainty, text, (), band)]
