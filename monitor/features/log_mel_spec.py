"""The log-mel specification: every number that decides what a window looks like."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from monitor.domain import DoubleArray
from monitor.features.mel_filterbank import band_corners_hz, mel_filterbank
from monitor.features.spec_values import spec_of

_MOST_VALUES = 262_144


@dataclass(frozen=True)
class LogMelSpec:
    """How sound becomes log-mel windows. It is stored in the bundle and nowhere else.

    Power is that of the unnormalised short-time Fourier transform under a
    periodic Hann window of ``n_fft`` samples, as librosa computes it; mel bands
    are triangles on Slaney's scale with unit area (Slaney norm) between
    ``f_min_hz`` and ``f_max_hz``; a value is ``10 log10(power + power_floor)``.
    A window is ``window_frames`` frames, a new one every ``window_hop_frames``.

    Raises ``ValueError`` with the name of the field for a value out of range, before memory of
    its size is allocated.
    """

    sample_rate_hz: int = 16_000
    n_fft: int = 1024
    hop_length: int = 512
    n_mels: int = 128
    f_min_hz: float = 0.0
    f_max_hz: float = 8_000.0
    power_floor: float = 1e-10
    window_frames: int = 32
    window_hop_frames: int = 16

    def __post_init__(self) -> None:
        """Raise ``ValueError`` with the name of the field and its range."""
        for name, problem in self.problems(self.to_dict()).items():
            raise ValueError(f"{name} {problem}")

    @classmethod
    def problems(cls, values: Mapping[str, Any]) -> dict[str, str]:
        """What cannot be in ``values``, by the name of the field; defaults where there is none.

        A limit that depends on another field is that of its default where the other is wrong.
        """
        found: dict[str, str] = {}
        defaults = {field.name: field.default for field in fields(cls)}

        def valid(name: str) -> Any:
            return defaults[name] if name in found else values.get(name, defaults[name])

        def whole(name: str, low: int, high: int) -> None:
            value = values.get(name, defaults[name])
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                found[name] = f"must be a whole number from {low} to {high}, not {value!r}"

        def number(name: str, low: float, high: float) -> None:
            value = values.get(name, defaults[name])
            real = isinstance(value, int | float) and not isinstance(value, bool)
            if not (real and low <= value <= high):
                found[name] = f"must be a number from {low:g} to {high:g}, not {value!r}"

        whole("sample_rate_hz", 1_000, 768_000)
        whole("n_fft", 16, 65_536)
        whole("hop_length", 1, valid("n_fft"))
        whole("n_mels", 1, 1024)
        whole("window_frames", 1, 4096)
        whole("window_hop_frames", 1, valid("window_frames"))
        number("f_max_hz", 0.0, valid("sample_rate_hz") / 2)
        number("f_min_hz", 0.0, valid("f_max_hz"))
        number("power_floor", 1e-30, 1.0)
        if valid("n_mels") * valid("window_frames") > _MOST_VALUES:
            found["n_mels"] = f"x window_frames must be at most {_MOST_VALUES}"
        if valid("f_min_hz") >= valid("f_max_hz"):
            found["f_min_hz"] = "must be below f_max_hz"
        return found

    @property
    def frame_rate_hz(self) -> float:
        """Frames per second."""
        return self.sample_rate_hz / self.hop_length

    @property
    def window_samples(self) -> int:
        """Samples from a window's first to its last, inclusive of both."""
        return (self.window_frames - 1) * self.hop_length + self.n_fft

    @property
    def window_hop_samples(self) -> int:
        """Samples between the starts of successive windows."""
        return self.window_hop_frames * self.hop_length

    @property
    def window_s(self) -> float:
        """Seconds of sound in one window."""
        return self.window_samples / self.sample_rate_hz

    @property
    def window_hop_s(self) -> float:
        """Seconds between the starts of successive windows."""
        return self.window_hop_samples / self.sample_rate_hz

    def windows_in(self, span_s: float) -> int:
        """The number of windows in a span of ``span_s`` seconds, at least one."""
        return max(1, 1 + round((span_s - self.window_s) / self.window_hop_s))

    def seconds_of(self, n_windows: int) -> float:
        """The length in seconds of ``n_windows`` successive windows, at least one."""
        return self.window_s + (n_windows - 1) * self.window_hop_s

    @cached_property
    def band_corners_hz(self) -> DoubleArray:
        """Corners of the triangles, Hz. Shape: ``(n_mels + 2,)``; band b peaks at b + 1."""
        return band_corners_hz(self.f_min_hz, self.f_max_hz, self.n_mels)

    def band_edges_hz(self, band: int) -> tuple[float, float]:
        """The limits of a band in Hz: the midpoints between its peak and the neighbouring ones."""
        low, peak, high = self.band_corners_hz[band : band + 3]
        return float((low + peak) / 2), float((peak + high) / 2)

    def bands_below(self, frequency_hz: float) -> int:
        """How many of the lowest bands end at or below a frequency; at least one."""
        return max(1, int(np.count_nonzero(self.band_corners_hz[2:] <= frequency_hz + 1e-6)))

    @property
    def mel_filterbank(self) -> DoubleArray:
        """The weights of the bands. Shape: ``(n_mels, n_fft // 2 + 1)``."""
        return mel_filterbank(
            self.f_min_hz, self.f_max_hz, self.n_mels, self.n_fft, self.sample_rate_hz
        )

    @property
    def features_sha256(self) -> str:
        """SHA-256 of all fields as JSON; it identifies a specification."""
        # As floats, because 8000 and 8000.0 are the same frequency.
        values = {name: float(value) for name, value in self.to_dict().items()}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    @property
    def filterbank_sha256(self) -> str:
        """SHA-256 of the mel filterbank; it differs where two builds compute different weights."""
        rounded = np.round(self.mel_filterbank, 6).astype("<f4")
        return hashlib.sha256((rounded + np.float32(0)).tobytes()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LogMelSpec:
        """A spec from JSON or TOML. Raises ``ValueError`` for an unknown or impossible value."""
        return spec_of(cls, values)
