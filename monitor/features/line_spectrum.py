"""The line spectrum: tones that are too narrow to be seen in a mel band.

A mel band at 3 kHz is 70 Hz wide. A bin of this spectrum is 2 Hz wide, so a tone that
adds nothing to its band stands 14 dB higher above the noise beside it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from monitor.domain import AudioBlock, DoubleArray, FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.prominence import ProminenceWindow, chance_db2, hann, prominence_db
from monitor.features.sample_tiles import SampleTiles
from monitor.features.spec_values import check_number, check_whole, spec_of

_BIN_HZ = 2.0
_HIGHEST = 0.95
"""Above this share of the Nyquist frequency, resamplers and codecs remove sound."""
_FLOOR = np.float32(1e-12)


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
        self._offset = spec.window_samples - spec.n_fft
        self._tiles = SampleTiles(
            spec.sample_rate_hz, offset=self._offset, length=spec.n_fft, hop=spec.hop_samples
        )

    def reset(self, first_sample: int = 0) -> None:
        """Forget all samples: the next one has index ``first_sample``."""
        self._tiles.reset(first_sample)

    def push(self, block: AudioBlock) -> list[ProminenceWindow]:
        """The windows that ``block`` completes, in order.

        Shape: ``block.samples`` is ``(n_samples,)`` float32, ``values_db`` of a window is
        ``(1, n_bins)``. Raises as ``check_block``; the stream is then as it was before.
        """
        windows = []
        for tile in self._tiles.push(block):
            first = tile.first_sample - self._offset
            values_db = _spectrum_db(tile.samples, self._spec)
            windows.append(ProminenceWindow(values_db, first, first + self._spec.window_samples))
        return windows


def _spectrum_db(samples: FloatArray, spec: LineSpec) -> FloatArray:
    """Shape: ``(n_fft,)`` to ``(1, n_bins)``."""
    spectrum = np.fft.rfft(samples * hann(spec.n_fft))[np.newaxis, spec.bin_slice]
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    return prominence_db(np.float32(10.0) * np.log10(power + _FLOOR), spec.neighbours)
