"""Log-mel windows with two finer spectra of the same samples: of the envelope, and of lines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from monitor.domain import AudioBlock, LogMelWindow
from monitor.features.envelope import EnvelopeSpec, EnvelopeStream
from monitor.features.line_spectrum import LineSpec, LineStream
from monitor.features.log_mel import LogMelStream
from monitor.features.log_mel_spec import LogMelSpec

SPECTRA: Final = ("envelope", "lines")
"""The names of the spectra of a window, in their order."""


@dataclass(frozen=True)
class SpectraSpec:
    """How sound becomes the spectra of a window."""

    envelope: EnvelopeSpec
    lines: LineSpec

    @classmethod
    def for_log_mel(cls, spec: LogMelSpec) -> SpectraSpec | None:
        """Spectra at the places of the log-mel windows; None where they do not fit these."""
        try:
            return cls(EnvelopeSpec.for_log_mel(spec), LineSpec.for_log_mel(spec))
        except ValueError:
            return None

    def band_hz(self, spectrum: int, band: int, place: int) -> tuple[float, float]:
        """Where in the sound a bin of a spectrum belongs to, as limits in Hz.

        ``spectrum``: the index in ``SPECTRA``. For a line this is the line itself with the bins
        beside it; for a repetition rate in the envelope, the band whose envelope it is.
        """
        if SPECTRA[spectrum] == "envelope":
            low, high = self.envelope.band_edges_hz[band : band + 2].tolist()
        else:
            frequency_hz = float(self.lines.frequencies_hz[place])
            bin_hz = self.lines.sample_rate_hz / self.lines.n_fft
            low, high = frequency_hz - bin_hz, frequency_hz + bin_hz
        return round(low, 1), round(high, 1)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {"envelope": self.envelope.to_dict(), "lines": self.lines.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SpectraSpec:
        """From JSON. Raises ``ValueError`` for an unknown, missing or impossible value."""
        if set(values) != set(SPECTRA):
            raise ValueError(f"expected {' and '.join(SPECTRA)}, not {', '.join(sorted(values))}")
        return cls(EnvelopeSpec.from_dict(values["envelope"]), LineSpec.from_dict(values["lines"]))


class WindowStream:
    """Audio blocks of any size to log-mel windows, with their spectra if there are any.

    The first window comes when its last sample has arrived, and no window contains a
    discontinuity. State: the blocks since the last window (``_waiting``). The spectra are computed
    when a window is complete, because many small calls cost more.
    """

    def __init__(self, spec: LogMelSpec, spectra: SpectraSpec | None = None) -> None:
        self._log_mel = LogMelStream(spec)
        self._spectra = (
            None
            if spectra is None
            else (EnvelopeStream(spectra.envelope), LineStream(spectra.lines))
        )
        self._waiting: list[AudioBlock] = []

    def push(self, block: AudioBlock) -> list[LogMelWindow]:
        """The windows that ``block`` completes, in order. Raises as ``LogMelStream.push``."""
        windows = self._log_mel.push(block)
        if self._spectra is None:
            return windows
        if block.discontinuous:
            self._waiting.clear()
        self._waiting.append(block)
        if not windows:
            return []
        first = self._waiting[0]
        joined = replace(first, samples=np.concatenate([one.samples for one in self._waiting]))
        self._waiting.clear()
        envelope, lines = (stream.push(joined) for stream in self._spectra)
        with_spectra = []
        for window, *parts in zip(windows, envelope, lines, strict=True):
            if any(part.first_sample != window.first_sample for part in parts):
                raise AssertionError("the spectra of a window are at another place")
            spectra = tuple(part.values_db for part in parts)
            with_spectra.append(replace(window, spectra=spectra))
        return with_spectra
