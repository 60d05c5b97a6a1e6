"""The line spectrum: tones that are too narrow to be seen in a mel band.

A mel band at 3 kHz is 70 Hz wide. A bin of this spectrum is 2 Hz wide, so a tone that
adds nothing to its band stands 14 dB higher above the noise beside it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.domain import AudioBlock, DoubleArray, FloatArray
from monitor.features.fourier import ROWS, transform
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.prominence import (
    Prominences,
    ProminenceWindow,
    chance_db2,
    hann,
    prominence_windows,
)
from monitor.features.sample_tiles import SampleTiles, Tiles, in_groups
from monitor.features.spec_values import check_number, check_whole, spec_of
from monitor.workspace import workspaces

_BIN_HZ = 2.0
_HIGHEST = 0.95
"""Above this share of the Nyquist frequency, resamplers and codecs remove sound."""
_FLOOR = np.float32(1e-12)
_I = np.complex64(1j)
_AT_ONCE = 4
"""So many windows are transformed together."""


@dataclass(frozen=True)
class LineSpec:
    """How sound becomes line spectra.

    A window is the newest ``n_fft`` of ``window_samples`` samples under a periodic Hann window, a
    new one every ``hop_samples``. Its spectrum is ``10 log10(|rfft|^2 + 1e-12)`` from
    ``f_min_hz`` to 0.95 of the Nyquist frequency, as prominence over ``neighbours`` bins on both
    sides, so it does not depend on the level.

    Raises ``ValueError`` with the name of the field for a value out of range.
    """

    sample_rate_hz: int = 16_000
    n_fft: int = 8_192
    hop_samples: int = 8_192
    window_samples: int = 16_896
    f_min_hz: float = 60.0
    neighbours: int = 32

    def __post_init__(self) -> None:
        """Raise ``ValueError`` with the name of the field and its range."""
        check_whole("sample_rate_hz", self.sample_rate_hz, 1_000, 768_000)
        check_whole("n_fft", self.n_fft, 256, 1_048_576)
        if self.n_fft % ROWS:
            raise ValueError(f"n_fft must be a multiple of {ROWS}, not {self.n_fft}")
        check_whole("hop_samples", self.hop_samples, 1, 100_000_000)
        check_whole("window_samples", self.window_samples, self.n_fft, 100_000_000)
        check_number("f_min_hz", self.f_min_hz, 0.0, self.sample_rate_hz / 8)
        check_whole("neighbours", self.neighbours, 1, self.n_fft // 16)

    @classmethod
    def for_log_mel(cls, spec: LogMelSpec) -> LineSpec:
        """Windows at the places of the log-mel windows, bins of about 2 Hz.

        Raises ``ValueError`` where the log-mel windows are too short.
        """
        n_fft = 2 ** round(math.log2(spec.sample_rate_hz / _BIN_HZ))
        return cls(spec.sample_rate_hz, n_fft, spec.window_hop_samples, spec.window_samples)

    @property
    def bin_slice(self) -> slice:
        """The bins of the Fourier transform that are kept."""
        bin_hz = self.sample_rate_hz / self.n_fft
        return slice(
            math.ceil(self.f_min_hz / bin_hz),
            math.floor(_HIGHEST * self.sample_rate_hz / 2.0 / bin_hz) + 1,
        )

    @property
    def frequencies_hz(self) -> DoubleArray:
        """The frequency of each bin. Shape: ``(n_bins,)``."""
        bins = np.arange(self.n_fft // 2 + 1, dtype=np.float64)[self.bin_slice]
        return bins * (self.sample_rate_hz / self.n_fft)

    @property
    def chance_db2(self) -> float:
        """``n`` times the variance by chance of a value's mean over ``n`` windows, in dB^2."""
        return chance_db2(self.n_fft, self.hop_samples)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LineSpec:
        """A spec from JSON. Raises ``ValueError`` for an unknown or impossible value."""
        return spec_of(cls, values)


class LineStream:
    """Audio blocks of any size to line spectra.

    The first window comes when the last sample of its log-mel window has arrived, and no window
    contains a discontinuity.
    """

    def __init__(self, spec: LineSpec) -> None:
        self._spec = spec
        self._tiles = SampleTiles(
            spec.sample_rate_hz, length=spec.window_samples, hop=spec.hop_samples
        )

    def push(self, block: AudioBlock) -> list[ProminenceWindow]:
        """The windows that ``block`` completes, in order.

        Shape: ``block.samples`` is ``(n_samples,)`` float32, ``values_db`` of a window is
        ``(1, n_bins)``. Raises as ``check_block``; the stream is then as it was before.
        """
        return self.of(self._tiles.push(block))

    def of(self, tiles: Tiles) -> list[ProminenceWindow]:
        """The windows of tiles, which must be all those of the stream."""
        if not tiles.count:
            return []
        spec, windows = self._spec, []
        newest = tiles.parts(spec.window_samples - spec.n_fft, spec.n_fft)
        for group in in_groups(tiles.count, _AT_ONCE):
            with _spectra(spec, group.stop - group.start) as spectra:
                windows += list(spectra.of(newest[group]))
        return prominence_windows(windows, tiles)


class _Spectra:
    """Line spectra of a fixed number of windows, with arrays that are used again and again.

    numpy transforms four rows in little more time than one. So every fourth sample is one of four
    rows of ``m`` samples. With ``g_j``, the transform of row ``j`` times ``exp(-2 pi i j k /
    n_fft)``, bin ``k`` is ``(g_0 + g_2) + (g_1 + g_3)``, bin ``m + k`` is
    ``(g_0 - g_2) - i (g_1 - g_3)``, bin ``m - k`` is the conjugate of the latter with the other
    sign, and bin ``2 m - k`` is that of the first.
    """

    def __init__(self, spec: LineSpec, n_windows: int) -> None:
        m = spec.n_fft // ROWS
        n_bins = m // 2 + 1
        # The transform divides by the length.
        self._window = hann(spec.n_fft) * np.float32(m)
        self._windowed = np.zeros((n_windows, spec.n_fft), dtype=np.float32)
        self._rows = self._windowed.reshape(n_windows, m, ROWS).transpose(0, 2, 1)
        self._transforms = np.zeros((n_windows, ROWS, n_bins), dtype=np.complex64)
        self._factors = _factors(spec.n_fft)
        self._turned = self._transforms[:, 1:]
        self._first, self._second = self._transforms[:, :2], self._transforms[:, 2:]
        self._sums = np.zeros((2, n_windows, 2, n_bins), dtype=np.complex64)
        self._even, self._odd = self._sums[:, :, 0], self._sums[:, :, 1]
        self._bins = np.zeros((2, 2, n_windows, n_bins), dtype=np.complex64)
        self._parts = self._bins.view(np.float32)
        power = np.zeros((n_windows, spec.n_fft // 2 + 1), dtype=np.float32)
        places = (
            (0, 0, power[:, :n_bins]),
            (0, 1, power[:, m : m - n_bins : -1]),
            (1, 1, power[:, m : m + n_bins]),
            (1, 0, power[:, 2 * m : 2 * m - n_bins : -1]),
        )
        self._powers = [
            (self._parts[sign, kind, :, ::2], self._parts[sign, kind, :, 1::2], place)
            for sign, kind, place in places
        ]
        self._kept = power[:, spec.bin_slice]
        self._prominences = Prominences(n_windows, self._kept.shape[1], spec.neighbours)

    def of(self, windows: FloatArray) -> FloatArray:
        """Shape: ``(n_windows, n_fft)`` to ``(n_windows, 1, n_bins)``."""
        np.multiply(windows, self._window, self._windowed)
        transform(self._rows, self._transforms)
        np.multiply(self._turned, self._factors, self._turned)
        np.add(self._first, self._second, self._sums[0])
        np.subtract(self._first, self._second, self._sums[1])
        np.multiply(self._odd[1], _I, self._odd[1])
        np.add(self._even, self._odd, self._bins[0])
        np.subtract(self._even, self._odd, self._bins[1])
        np.multiply(self._parts, self._parts, self._parts)
        for real, imaginary, power in self._powers:
            np.add(real, imaginary, power)
        np.add(self._kept, _FLOOR, self._kept)
        np.log10(self._kept, self._prominences.spectrum)
        return self._prominences.times(10.0)[:, np.newaxis]


_spectra = workspaces(_Spectra)


@lru_cache(maxsize=8)
def _factors(n_fft: int) -> npt.NDArray[np.complex64]:
    """``exp(-2 pi i j k / n_fft)``, ``j`` from 1. Shape: ``(3, n_fft // 8 + 1)``."""
    rows, bins = np.arange(1, ROWS)[:, np.newaxis], np.arange(n_fft // ROWS // 2 + 1)
    return np.asarray(np.exp(-2j * np.pi * rows * bins / n_fft), dtype=np.complex64)
