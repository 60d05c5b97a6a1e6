"""Envelope spectra of frequency bands, and how impulsive each band is.

A segment's spectrum is divided by its background and its lines are lowered to it (Randall,
Antoni and Chobsaard 2001 remove what is periodic for the same reason), so that what is left is
the random part, in which impacts of a bearing and modulated noise are. The bins of a band, taken
as a transform of their own, give the complex signal of the band at a low rate; its magnitude is
the envelope.

Kurtosis: Antoni, "Fast computation of the kurtogram", Mechanical Systems and Signal Processing 21
(2007). Bands are of one and two kHz and of all frequencies, two levels of his tree and its root.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from monitor.diagnosis.segments import ComplexArray, SegmentPlan, background_of, levels_of
from monitor.domain import FloatArray
from monitor.features.prominence import hann

HIGHEST_RATE_HZ = 500.0
_BAND_HZ = 1_000.0
_HIGHEST_HZ = 20_000.0
_USED_SHARE = 0.95
"""Of the frequencies up to half the sample rate. Above, filters of recorders are falling."""
_EDGE_SHARE = 0.1
_LINE_DB = 8.0
_ONE_LINE_DB = 14.0
"""A bin of one segment is a line above this: noise reaches it in one of 10^9 bins."""


@dataclass(frozen=True, slots=True)
class Band:
    """A frequency band, from ``low_hz`` to ``high_hz``."""

    low_hz: float
    high_hz: float

    def __str__(self) -> str:
        """As in texts."""
        return f"{self.low_hz:.0f} to {self.high_hz:.0f} Hz"

    def overlaps(self, other: Band) -> bool:
        """Whether they share a frequency."""
        return self.low_hz < other.high_hz and other.low_hz < self.high_hz


@dataclass(frozen=True, slots=True)
class EnvelopeSegments:
    """The envelopes of segments.

    ``levels_db``: float32, shape ``(n_segments, n_bands, n_rates)``, the power of the envelope by
    rate, relative to its mean. ``kurtosis``: shape ``(n_segments, n_bands)``, 0 for noise.
    """

    levels_db: FloatArray
    kurtosis: FloatArray


@lru_cache(maxsize=8)
def bands_of(rate_hz: int) -> tuple[Band, ...]:
    """One kHz wide, two kHz wide and overlapping by half, and all."""
    top_hz = min(_USED_SHARE * rate_hz / 2.0, _HIGHEST_HZ)
    step_hz = min(_BAND_HZ, top_hz / 2.0)
    narrow = [Band(n * step_hz, (n + 1) * step_hz) for n in range(int(top_hz / step_hz + 1e-9))]
    wide = [Band(low.low_hz, high.high_hz) for low, high in itertools.pairwise(narrow)]
    every = Band(step_hz / 2.0, top_hz)
    return (*narrow, *(one for one in wide if len(narrow) > 2), every)


def n_rates(plan: SegmentPlan) -> int:
    """The number of rates of an envelope spectrum: from 0 to at most ``HIGHEST_RATE_HZ``."""
    narrowest = min(band.high_hz - band.low_hz for band in bands_of(plan.rate_hz))
    return int(min(HIGHEST_RATE_HZ, narrowest / 2.0) / plan.bin_hz) + 1


def whitened(spectra: ComplexArray, plan: SegmentPlan) -> ComplexArray:
    """The segments without background and lines. Shape: ``(n_segments, n_bins)``, the same."""
    levels_db = levels_of(spectra)
    mean_db = levels_db.mean(axis=0)
    background_db = background_of(mean_db, plan.bin_hz)
    above_db = levels_db - background_db
    is_line = (mean_db - background_db > _LINE_DB) | (above_db > _ONE_LINE_DB)
    for _ in range(2):
        is_line[..., 1:] |= is_line[..., :-1]
        is_line[..., :-1] |= is_line[..., 1:]
    excess_db = np.where(is_line, np.maximum(above_db, 0.0), 0.0)
    gain = 10.0 ** (-(background_db + excess_db) / 20.0)
    flat: ComplexArray = (spectra * gain).astype(np.complex64)
    return flat


def envelopes_of(spectra: ComplexArray, plan: SegmentPlan) -> EnvelopeSegments:
    """The envelope spectra of segments of one piece of sound. Shape: ``(n_segments, n_bins)``."""
    flat = whitened(spectra, plan)
    bands = bands_of(plan.rate_hz)
    kept = n_rates(plan)
    levels_db = np.empty((len(spectra), len(bands), kept), dtype=np.float32)
    kurtosis = np.empty((len(spectra), len(bands)), dtype=np.float32)
    for number, band in enumerate(bands):
        first = round(band.low_hz / plan.bin_hz)
        n = round((band.high_hz - band.low_hz) / plan.bin_hz)
        part = flat[:, first : first + n] * _taper(n)
        # The envelope of a band has rates up to its width. Those that fold back must not be kept.
        size = 2 * n if n * plan.bin_hz < 4.0 * HIGHEST_RATE_HZ else n
        signal = np.fft.ifft(part, size, axis=1)
        envelope = np.sqrt(signal.real**2 + signal.imag**2)
        window = hann(size)
        kurtosis[:, number] = _kurtosis(envelope, window)
        mean = envelope.sum(axis=1, keepdims=True) / window.sum()
        envelope -= mean * window
        # A segment counts by how its envelope varies, not by how loud it is.
        envelope /= np.maximum(mean, np.float32(1e-12))
        power_db = levels_of(np.fft.rfft(envelope, axis=1)[:, :kept].astype(np.complex64))
        levels_db[:, number] = power_db
    return EnvelopeSegments(levels_db, kurtosis)


def _kurtosis(envelope: FloatArray, window: FloatArray) -> FloatArray:
    """Of a complex signal, from its magnitude under a window: 0 for Gaussian noise.

    Shape: ``(n_segments, n)`` to ``(n_segments,)``.
    """
    inside = slice(len(window) // 4, 3 * len(window) // 4)
    power = (envelope[:, inside] / window[inside]) ** 2
    mean = power.mean(axis=1)
    fourth = (power**2).mean(axis=1)
    return np.asarray(fourth / np.maximum(mean**2, 1e-30) - 2.0, dtype=np.float32)


@lru_cache(maxsize=32)
def _taper(n: int) -> npt.NDArray[np.float32]:
    """Ones with raised cosines at both ends, so that the band has no ringing of its own."""
    taper = np.ones(n, dtype=np.float32)
    edge = max(1, round(_EDGE_SHARE * n))
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)
    taper[:edge], taper[-edge:] = rise, rise[::-1]
    return taper
