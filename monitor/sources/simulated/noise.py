"""Coloured noise that does not repeat and can be computed at any position."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from monitor.domain import FloatArray

_TAPS = 512
_UNIFORM_RMS = 2.0**15 / 3.0**0.5


class NoiseStream:
    """Noise of a given spectrum in cells of fixed length; cell ``i`` is always the same.

    White noise from a counter-based generator (Philox, Salmon et al. 2011) through
    a linear-phase filter by overlap-save. ``magnitude``: the spectrum, shape
    ``(257,)``, from 0 Hz to half the sample rate; it is scaled to unit RMS.
    """

    def __init__(
        self, key: tuple[int, int], magnitude: npt.NDArray[np.float64], cell_samples: int
    ) -> None:
        self._key = np.array(key, dtype=np.uint64)
        self._cell_samples = cell_samples
        self._cells_per_block = max(1, 12_800 // cell_samples)
        self._block_samples = self._cells_per_block * cell_samples
        self._n_fft = _smooth_at_least(self._block_samples + _TAPS)
        taps = np.fft.irfft(magnitude, _TAPS)
        taps = np.roll(taps, _TAPS // 2) * np.hanning(_TAPS)
        taps /= np.sqrt(np.sum(taps**2)) * _UNIFORM_RMS
        self._response = np.fft.rfft(taps, self._n_fft).astype(np.complex64)
        self._block_index = -1
        self._block = np.empty(0, dtype=np.float32)

    def cell(self, index: int) -> FloatArray:
        """Shape: ``(cell_samples,)``, unit RMS."""
        block_index, within = divmod(index, self._cells_per_block)
        if block_index != self._block_index:
            self._block, self._block_index = self._coloured(block_index), block_index
        return self._block[within * self._cell_samples : (within + 1) * self._cell_samples]

    def _coloured(self, block_index: int) -> FloatArray:
        padded = np.zeros(self._n_fft, dtype=np.float32)
        padded[:_TAPS] = self._white(block_index)[-_TAPS:]
        padded[_TAPS : _TAPS + self._block_samples] = self._white(block_index + 1)
        spectrum = np.fft.rfft(padded)
        spectrum *= self._response
        coloured = np.fft.irfft(spectrum, self._n_fft)[_TAPS : _TAPS + self._block_samples]
        return np.asarray(coloured, dtype=np.float32)

    def _white(self, block_index: int) -> FloatArray:
        """Uniform noise, ten times faster than Gaussian; the filter makes it nearly Gaussian."""
        counter = np.array([0, block_index, 0, 0], dtype=np.uint64)
        generator = np.random.Philox(key=self._key, counter=counter)
        raw = generator.random_raw(-(-self._block_samples // 4))
        return raw.view(np.int16)[: self._block_samples].astype(np.float32)


@lru_cache(maxsize=32)
def _smooth_at_least(n: int) -> int:
    """The smallest even ``2^a 3^b 5^c >= n``: a fast length for a Fourier transform."""
    best = 1 << (n - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            candidate = three * 2
            while candidate < n:
                candidate *= 2
            best = min(best, candidate)
            three *= 3
        five *= 5
    return best
