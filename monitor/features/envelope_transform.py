"""Samples to envelopes of bands, and these to their spectra, as ``EnvelopeSpec`` says.

A call of numpy on a few thousand numbers takes longer for a new array, and for each view of one,
than for its sums. So all arrays and views are made once, and each step writes into them. All
machines share them.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from monitor.domain import FloatArray
from monitor.features.fourier import transform
from monitor.features.prominence import Prominences, hann
from monitor.workspace import workspaces

_FLOOR = 1e-6
_LEAST_AMPLITUDE = 1e-15


class EnvelopeTransform:
    """The root of each band's power, with arrays that are used again and again.

    The odd bins of a frame of ``2n`` samples are a transform of its first half minus its second
    half, the even ones of their sum, so two products of half the size are enough.
    """

    def __init__(self, frame_hop: int, n_frames: int) -> None:
        self._transforms = _transforms(frame_hop)
        rising, falling = np.split(hann(2 * frame_hop), 2)
        self._rising, self._falling = (np.tile(half, n_frames + 1) for half in (rising, falling))
        self._first = np.zeros_like(self._rising)
        self._second = np.zeros_like(self._falling)
        self._of_frames = self._first[:-frame_hop], self._second[frame_hop:]
        combined = np.zeros((2, n_frames * frame_hop), dtype=np.float32)
        self._minus, self._plus = combined
        self._frames = combined.reshape(2, n_frames, frame_hop).transpose(0, 2, 1)
        self._parts = np.zeros((2, frame_hop, n_frames), dtype=np.float32)
        n_bands = frame_hop // 2
        self._cosines, self._sines = self._parts[:, :n_bands], self._parts[:, n_bands:]
        self._power = np.zeros((2, n_bands, n_frames), dtype=np.float32)
        self._odd, self._even = self._power
        self._above, self._below = self._odd[1:], self._even[:-1]

    def __call__(self, samples: FloatArray, envelopes: FloatArray) -> None:
        """Fill ``envelopes``. Shape: ``((n_frames + 1) frame_hop,)`` to ``(n_bands, n_frames)``."""
        np.multiply(samples, self._rising, self._first)
        np.multiply(samples, self._falling, self._second)
        np.subtract(*self._of_frames, self._minus)
        np.add(*self._of_frames, self._plus)
        np.matmul(self._transforms, self._frames, self._parts)
        np.multiply(self._parts, self._parts, self._parts)
        np.add(self._cosines, self._sines, self._power)
        np.add(self._odd, self._even, self._odd)
        np.add(self._above, self._below, self._above)
        np.sqrt(self._odd, envelopes)


envelope_transforms = workspaces(EnvelopeTransform)


@lru_cache(maxsize=8)
def _transforms(frame_hop: int) -> FloatArray:
    """The Fourier transforms for odd and for even bins. Shape: ``(2, frame_hop, frame_hop)``.

    Each is the cosines of all bins, then the sines. The even ones are without bin 0 and for half
    of their power.
    """
    places = np.arange(frame_hop)
    odd = 2 * np.arange(frame_hop // 2) + 1
    angles = np.stack([np.outer(bins, places) for bins in (odd, odd + 1)]) * (np.pi / frame_hop)
    transforms = np.concatenate((np.cos(angles), np.sin(angles)), axis=1)
    transforms[1] *= math.sqrt(0.5)
    return transforms.astype(np.float32)


class EnvelopeSpectra:
    """Spectra of the envelopes of a fixed number of windows, with arrays that are used again.

    ``halves``: for each window, the places for the older and the newer half of the envelopes
    under the window, which is ``rising``, then ``falling``. Nothing is divided by the mean,
    because prominences are the same for any factor. The floor is multiplied by its square.
    """

    def __init__(
        self, n_bands: int, hop: int, first_bin: int, neighbours: int, n_windows: int
    ) -> None:
        """``hop``: half the frames of a window. ``first_bin``: the lowest one that is kept."""
        n_rows, n_bins = n_windows * n_bands, hop + 1 - first_bin
        # The transform divides by the length.
        self.rising, self.falling = np.split(hann(2 * hop) * np.float32(2 * hop), 2)
        self._windowed = np.zeros((n_rows, 2 * hop), dtype=np.float32)
        windows = self._windowed.reshape(n_windows, n_bands, 2 * hop)
        self.halves = [(window[:, :hop], window[:, hop:]) for window in windows]
        self._transform = np.zeros((n_rows, hop + 1), dtype=np.complex64)
        self._parts = self._transform.reshape(-1).view(np.float32)
        self._power = np.zeros(self._transform.size, dtype=np.float32)
        power = self._power.reshape(n_rows, hop + 1)
        self._constant, self._kept = power[:, :1], power[:, first_bin:]
        self._share, self._least = _floor(2 * hop)
        self._shape = n_windows, n_bands, n_bins
        self._prominences = Prominences(n_rows, n_bins, neighbours)

    def values_db(self) -> FloatArray:
        """Shape: ``(n_windows, n_bands, n_bins)``."""
        transform(self._windowed, self._transform)
        np.multiply(self._parts, self._parts, self._parts)
        np.add(self._parts[::2], self._parts[1::2], self._power)
        np.multiply(self._constant, self._share, self._constant)
        np.maximum(self._constant, self._least, out=self._constant)
        np.add(self._kept, self._constant, self._kept)
        np.log10(self._kept, self._prominences.spectrum)
        return self._prominences.times(10.0).reshape(self._shape)


envelope_spectra = workspaces(EnvelopeSpectra)


@lru_cache(maxsize=8)
def _floor(length: int) -> tuple[np.float32, np.float32]:
    """The floor as a share of the power of bin 0, and its least value."""
    window = hann(length).astype(np.float64)
    energy = _FLOOR * float(window @ window)
    return np.float32(energy / window.sum() ** 2), np.float32(energy * _LEAST_AMPLITUDE**2)
