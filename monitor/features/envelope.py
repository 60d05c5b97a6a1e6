"""The envelope spectrum: which rates the loudness of each frequency band repeats at.

Impacts 87 times a second excite a resonance at 3 kHz. The log-mel frames of a window follow at
31 Hz, too slow for them. The envelope of the band around 3 kHz has a line at 87 Hz.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from monitor.domain import AudioBlock, DoubleArray
from monitor.features.envelope_transform import envelope_spectra, envelope_transforms
from monitor.features.fourier import ROWS
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.prominence import ProminenceWindow, chance_db2, prominence_windows
from monitor.features.sample_tiles import SampleTiles, Tiles, in_groups
from monitor.features.spec_values import check_number, check_whole, spec_of

_ENVELOPE_HZ = 500.0
_AT_ONCE = 4
"""So many windows are transformed together."""


@dataclass(frozen=True)
class EnvelopeSpec:
    """How sound becomes envelope spectra.

    Frames of ``2 frame_hop`` samples under a periodic Hann window follow every ``frame_hop``
    samples. The power of their Fourier transform is summed in bands of equal width, from 0 to
    the Nyquist frequency: bin ``2j + 1`` and half of the bins beside it, without bin 0. The root
    of a band's power is its envelope ``a``. A window has the newest ``2 hop_frames`` frames of
    ``window_samples`` samples, a new one every ``hop_frames`` frames. Its spectrum is
    ``10 log10(|rfft(hann a / m)|^2 / sum(hann^2) + 1e-6)``, with ``m`` the mean of ``a`` under
    the same window, from ``f_min_hz`` on, as prominence over ``neighbours`` bins on both sides.
    So it does not depend on the level.

    Raises ``ValueError`` with the name of the field for a value out of range.
    """

    sample_rate_hz: int = 16_000
    frame_hop: int = 32
    hop_frames: int = 256
    window_samples: int = 16_896
    f_min_hz: float = 4.0
    neighbours: int = 16

    def __post_init__(self) -> None:
        """Raise ``ValueError`` with the name of the field and its range."""
        check_whole("sample_rate_hz", self.sample_rate_hz, 1_000, 768_000)
        check_whole("frame_hop", self.frame_hop, 2, 4_096)
        if self.frame_hop % 2:
            raise ValueError(f"frame_hop must be even, not {self.frame_hop}")
        check_whole("hop_frames", self.hop_frames, 8, 4_096)
        check_whole("window_samples", self.window_samples, self.used_samples, 100_000_000)
        check_number("f_min_hz", self.f_min_hz, self._lowest_hz, self.envelope_rate_hz / 4)
        check_whole("neighbours", self.neighbours, 1, self.hop_frames // 4)

    @classmethod
    def for_log_mel(cls, spec: LogMelSpec) -> EnvelopeSpec:
        """Windows at the places of the log-mel windows, envelopes of about 500 Hz.

        Raises ``ValueError`` where the log-mel windows are too short or their hop does not fit.
        """
        frame_hop = 2 ** round(math.log2(spec.sample_rate_hz / _ENVELOPE_HZ))
        if spec.window_hop_samples % frame_hop:
            raise ValueError(f"the window hop must be a multiple of {frame_hop} samples")
        return cls(
            spec.sample_rate_hz,
            frame_hop,
            spec.window_hop_samples // frame_hop,
            spec.window_samples,
        )

    @property
    def used_samples(self) -> int:
        """How many samples the frames of a window have together."""
        return (2 * self.hop_frames + 1) * self.frame_hop

    @property
    def offset_samples(self) -> int:
        """How many samples of a window are before its first frame."""
        return self.window_samples - self.used_samples

    @property
    def envelope_rate_hz(self) -> float:
        """Frames per second."""
        return self.sample_rate_hz / self.frame_hop

    @property
    def _lowest_hz(self) -> float:
        """Below the third bin, the window lets the mean through."""
        return self.envelope_rate_hz / self.hop_frames

    @property
    def n_bands(self) -> int:
        """The number of frequency bands."""
        return self.frame_hop // 2

    @property
    def band_edges_hz(self) -> DoubleArray:
        """The limits of the bands. Shape: ``(n_bands + 1,)``."""
        return np.arange(self.n_bands + 1, dtype=np.float64) * self.envelope_rate_hz

    @property
    def first_bin(self) -> int:
        """The lowest bin of the envelope spectrum that is kept."""
        return math.ceil(self.f_min_hz * 2 * self.hop_frames / self.envelope_rate_hz)

    @property
    def rates_hz(self) -> DoubleArray:
        """The repetition rate of each bin. Shape: ``(n_bins,)``."""
        bins = np.arange(self.first_bin, self.hop_frames + 1, dtype=np.float64)
        return bins * (self.envelope_rate_hz / (2 * self.hop_frames))

    @property
    def chance_db2(self) -> float:
        """``n`` times the variance by chance of a value's mean over ``n`` windows, in dB^2."""
        return chance_db2(2 * self.hop_frames, self.hop_frames)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EnvelopeSpec:
        """A spec from JSON. Raises ``ValueError`` for an unknown or impossible value."""
        return spec_of(cls, values)


class EnvelopeStream:
    """Audio blocks of any size to envelope spectra.

    The first window comes when the last sample of its log-mel window has arrived, and no window
    contains a discontinuity. State: the envelopes of the newer half of the last window, and
    the number of the next one.
    """

    def __init__(self, spec: EnvelopeSpec) -> None:
        self._spec = spec
        self._hop = spec.hop_frames * spec.frame_hop
        self._tiles = SampleTiles(spec.sample_rate_hz, length=spec.window_samples, hop=self._hop)
        self._envelopes = np.zeros((spec.n_bands, spec.hop_frames), dtype=np.float32)
        self._next_number = 0
        self._shape = spec.n_bands, spec.hop_frames, spec.first_bin, spec.neighbours
        # The rounding of a transform may depend on how many rows are transformed together.
        self._at_once = 1 if spec.n_bands % ROWS else _AT_ONCE

    def push(self, block: AudioBlock) -> list[ProminenceWindow]:
        """The windows that ``block`` completes, in order.

        Shape: ``block.samples`` is ``(n_samples,)`` float32, ``values_db`` of a window is
        ``(n_bands, n_bins)``. Raises as ``check_block``; the stream is then as it was before.
        """
        return self.of(self._tiles.push(block))

    def of(self, tiles: Tiles) -> list[ProminenceWindow]:
        """The windows of tiles. Those that do not follow the last ones begin without them."""
        if not tiles.count:
            return []
        spec, windows = self._spec, []
        follows = tiles.number and tiles.number == self._next_number
        self._next_number = tiles.number + tiles.count
        if not follows:
            with envelope_transforms(spec.frame_hop, spec.hop_frames) as transform:
                older = tiles.parts(spec.offset_samples, self._hop + spec.frame_hop)
                transform(older[0], self._envelopes)
        newest = tiles.parts(spec.offset_samples + self._hop, self._hop + spec.frame_hop)
        for group in in_groups(tiles.count, self._at_once):
            with (
                envelope_transforms(spec.frame_hop, spec.hop_frames) as transform,
                envelope_spectra(*self._shape, group.stop - group.start) as spectra,
            ):
                for samples, (older, newer) in zip(newest[group], spectra.halves, strict=True):
                    np.multiply(self._envelopes, spectra.rising, older)
                    transform(samples, self._envelopes)
                    np.multiply(self._envelopes, spectra.falling, newer)
                windows += list(spectra.values_db())
        return prominence_windows(windows, tiles)
