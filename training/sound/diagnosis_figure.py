"""The picture of a diagnosis: the long-term spectrum and the envelope spectrum, with the comb."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from monitor.diagnosis.diagnose import Diagnosis
from monitor.diagnosis.envelopes import bands_of
from monitor.diagnosis.report import shown_band
from monitor.diagnosis.sound import Spectra
from monitor.domain import FloatArray

_HIGHEST_HARMONIC = 10
_LOWEST_RATE_HZ = 2.0


def diagnosis_figure(diagnosis: Diagnosis, sound: Spectra) -> Figure:
    """Two panels: the alert, and the range of healthy sound behind it.

    The multiples of the first rate that was found are marked.
    """
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(11, 6), layout="constrained")
        spectrum, envelope = figure.subplots(2, 1)
        healthy = diagnosis.healthy
        others = healthy.pieces if healthy is not None and healthy.has_sound else ()
        hz = np.arange(len(sound.density_db)) * sound.plan.bin_hz
        _drawn(spectrum, hz, sound.density_db, [one.density_db for one in others], 1)
        spectrum.set_xscale("log")
        spectrum.set_xlim(10.0, float(hz[-1]))
        spectrum.set_title("long-term spectrum", loc="left")
        spectrum.set_ylabel("dB per Hz re full scale")
        spectrum.set_xlabel("frequency in Hz")
        number = shown_band(diagnosis, sound)
        first = round(_LOWEST_RATE_HZ / sound.plan.bin_hz)
        rates_hz = np.arange(sound.envelope_db.shape[-1]) * sound.plan.bin_hz
        _drawn(
            envelope,
            rates_hz,
            sound.envelope_db[number],
            [one.envelope_db[number] for one in others],
            first,
        )
        band = bands_of(sound.plan.rate_hz)[number]
        envelope.set_title(f"envelope spectrum, {band}", loc="left")
        envelope.set_ylabel("dB")
        envelope.set_xlabel("rate in Hz")
        rates = [one for one in diagnosis.findings if one.rate_hz and one.band]
        if rates and rates[0].rate_hz:
            rate_hz = rates[0].rate_hz
            highest = min(_HIGHEST_HARMONIC, int(rates_hz[-1] / rate_hz))
            envelope.set_xlim(0.0, min(float(rates_hz[-1]), (highest + 1) * rate_hz))
            for harmonic in range(1, highest + 1):
                label = f"multiples of {rate_hz:.1f} Hz" if harmonic == 1 else None
                envelope.axvline(
                    harmonic * rate_hz, color="C3", linewidth=0.8, linestyle=":", label=label
                )
        envelope.legend(loc="upper right")
    return figure


def _drawn(
    axes: Axes, places: np.ndarray, now_db: FloatArray, others_db: list[FloatArray], first: int
) -> None:
    """The alert as a line, the lowest to the highest of healthy sound as an area."""
    if others_db:
        low, high = np.min(others_db, axis=0), np.max(others_db, axis=0)
        axes.fill_between(places[first:], low[first:], high[first:], color="0.8", label="healthy")
    axes.plot(places[first:], now_db[first:], linewidth=0.8, label="this sound")
