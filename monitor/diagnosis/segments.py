"""Sound cut into overlapping segments, and the narrow-band spectrum of each.

All spectra are in dB and are averaged as dB: a door or a word in one segment then changes the
average by little, and a line that is in every segment stays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from monitor.domain import DoubleArray, FloatArray
from monitor.features.prominence import hann

ComplexArray = npt.NDArray[np.complex64]
SEGMENT_S = 4.0
SHORT_SEGMENT_S = 2.0
LEAST_S = 5.0
"""The least sound of which anything is said: four segments of ``SHORT_SEGMENT_S``."""
_LONG_FROM_S = 10.0
_TINY = 1e-20
_BACKGROUND_HZ = 8.0
"""Width of the blocks whose median is the background. Lines fill less than half of it."""
_STEEP_BINS, _STEEP_BELOW_HZ = 8, 20.0
"""Below, where rumble and slow changes fall steeply, blocks of so few bins count too."""
DB_OF_CHANCE = 10.0 / math.log(10.0) * math.pi / 6.0**0.5
"""The standard deviation of one bin of noise in dB: its power is exponentially distributed."""


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """How sound is cut: periodic Hann windows of ``segment_s`` that overlap by half."""

    rate_hz: int
    segment_s: float

    @classmethod
    def for_sound(cls, seconds: float, rate_hz: int) -> SegmentPlan:
        """Long segments separate close rates; short sound has enough segments only if short."""
        return cls(rate_hz, SEGMENT_S if seconds >= _LONG_FROM_S else SHORT_SEGMENT_S)

    @property
    def n_samples(self) -> int:
        """Samples of a segment, an even number."""
        return 2 * round(self.segment_s * self.rate_hz / 2)

    @property
    def hop(self) -> int:
        """Samples from the beginning of a segment to that of the next."""
        return self.n_samples // 2

    @property
    def bin_hz(self) -> float:
        """The distance of two bins of a spectrum."""
        return self.rate_hz / self.n_samples

    def count(self, n_samples: int) -> int:
        """How many whole segments so many samples have."""
        return max(0, (n_samples - self.n_samples) // self.hop + 1)


def transforms(samples: FloatArray, plan: SegmentPlan) -> ComplexArray:
    """The Fourier transform of each segment.

    Shape: ``(n_samples,)`` to ``(n_segments, n_bins)``, scaled so that ``|.|^2`` is the power
    spectral density.
    """
    count = plan.count(len(samples))
    window = hann(plan.n_samples)
    scale = math.sqrt(2.0 / (plan.rate_hz * float(np.dot(window, window))))
    starts = np.arange(count) * plan.hop
    cut = np.lib.stride_tricks.sliding_window_view(samples, plan.n_samples)[starts]
    windowed = cut * (window * np.float32(scale))
    spectra: ComplexArray = np.fft.rfft(windowed, axis=1).astype(np.complex64, copy=False)
    return spectra


def levels_of(spectra: ComplexArray) -> FloatArray:
    """Power in dB, of the same shape."""
    power = spectra.real**2 + spectra.imag**2
    return np.asarray(10.0 * np.log10(power + np.float32(_TINY)), dtype=np.float32)


def background_of(
    levels_db: FloatArray, bin_hz: float, block_hz: float = _BACKGROUND_HZ
) -> FloatArray:
    """The spectrum without its lines: medians of blocks, joined by straight lines.

    Shape: ``(..., n_bins)``, the same.
    """
    n_bins = levels_db.shape[-1]
    background_db = _of_blocks(levels_db, max(_STEEP_BINS, round(block_hz / bin_hz)))
    steep = min(n_bins, _STEEP_BINS * (round(_STEEP_BELOW_HZ / bin_hz) // _STEEP_BINS))
    if steep:
        low = background_db[..., :steep]
        np.maximum(low, _of_blocks(levels_db[..., :steep], _STEEP_BINS), out=low)
    return background_db


def _of_blocks(levels_db: FloatArray, block: int) -> FloatArray:
    n_bins = levels_db.shape[-1]
    n_blocks = max(1, n_bins // block)
    used = levels_db[..., : n_blocks * block]
    medians = np.median(used.reshape(*levels_db.shape[:-1], n_blocks, -1), axis=-1)
    before, share = _between(n_bins, n_blocks, block)
    after = np.minimum(before + 1, n_blocks - 1)
    joined = medians[..., before] * (1.0 - share) + medians[..., after] * share
    return np.asarray(joined, dtype=np.float32)


@lru_cache(maxsize=32)
def _between(
    n_bins: int, n_blocks: int, block: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """For each bin the block whose centre is before it, and how far it is to the next."""
    place = (np.arange(n_bins) + 0.5) / block - 0.5
    before = np.clip(np.floor(place), 0, n_blocks - 1).astype(np.intp)
    share = np.clip(place - before, 0.0, 1.0).astype(np.float32)
    return before, share


def widest(values: FloatArray, reach: npt.NDArray[np.intp]) -> FloatArray:
    """The largest value within ``reach`` bins. Shape: ``(..., n)`` and ``(n,)`` to ``(..., n)``.

    Maxima over 1, 3, 7, 15 ... bins are made from each other; three of one length cover any reach
    up to the next length.
    """
    n = values.shape[-1]
    result = values.copy()
    current, half = values, 0
    places = np.arange(n)
    while half < int(reach.max(initial=0)):
        step = half + 1
        wider = current.copy()
        np.maximum(wider[..., step:], current[..., :-step], out=wider[..., step:])
        np.maximum(wider[..., :-step], current[..., step:], out=wider[..., :-step])
        current, half = wider, half + step
        at = places[(reach >= half) & (reach < 2 * half + 1)]
        beside = reach[at] - half
        before, after = np.maximum(at - beside, 0), np.minimum(at + beside, n - 1)
        sides = np.maximum(current[..., before], current[..., after])
        result[..., at] = np.maximum(current[..., at], sides)
    return result


def peaks_of(values: DoubleArray | FloatArray, least: float, apart: int) -> npt.NDArray[np.intp]:
    """The bins that are the largest within ``apart`` bins and at least ``least``. In order."""
    reach = np.full(len(values), apart, dtype=np.intp)
    largest = widest(np.asarray(values, dtype=np.float32), reach)
    found = np.flatnonzero((values >= largest) & (values >= least))
    return found.astype(np.intp)


def place_of(values: DoubleArray | FloatArray, peak: int) -> float:
    """The position of a maximum between bins, by the parabola through three values in dB."""
    if not 0 < peak < len(values) - 1:
        return float(peak)
    left, centre, right = (float(values[peak + offset]) for offset in (-1, 0, 1))
    bend = left - 2.0 * centre + right
    return peak + (0.5 * (left - right) / bend if bend < 0 else 0.0)
