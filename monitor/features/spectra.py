"""Log-mel windows with two finer spectra of the same samples: of the envelope, and of lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from monitor.domain import AudioBlock, LogMelWindow
from monitor.features.envelope import EnvelopeSpec, EnvelopeStream
from monitor.features.line_spectrum import LineSpec, LineStream
from monitor.features.log_mel import LogMelStream, window_tiles
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.sample_tiles import Tiles

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


Transform = Callable[[Tiles], list[LogMelWindow]]
"""As ``WindowTransform.of``."""


class WindowTransform:
    """Tiles of samples to log-mel windows, with their spectra if there are any.

    State: what windows that follow the last ones have in common with these.
    """

    def __init__(
        self, spec: LogMelSpec, spectra: SpectraSpec | None = None, *, keeps_samples: bool = False
    ) -> None:
        """``keeps_samples``: whether windows have their samples."""
        if spectra not in {None, SpectraSpec.for_log_mel(spec)}:
            raise ValueError("the spectra do not belong to these log-mel windows")
        self._keeps_samples = keeps_samples
        self._log_mel = LogMelStream(spec)
        self._spectra = (
            None
            if spectra is None
            else (EnvelopeStream(spectra.envelope), LineStream(spectra.lines))
        )

    def of(self, tiles: Tiles) -> list[LogMelWindow]:
        """One window for each tile."""
        windows = self._log_mel.of(tiles)
        if self._keeps_samples:
            windows = [
                replace(window, samples=samples)
                for window, samples in zip(
                    windows, tiles.parts(0, tiles.length).copy(), strict=True
                )
            ]
        if self._spectra is None or not windows:
            return windows
        envelope, lines = (stream.of(tiles) for stream in self._spectra)
        return [
            LogMelWindow(
                window.values_db,
                window.first_sample,
                window.end_sample,
                (one.values_db, other.values_db),
                window.samples,
            )
            for window, one, other in zip(windows, envelope, lines, strict=True)
        ]


class WindowStream:
    """Audio blocks of any size to log-mel windows, with their spectra if there are any.

    The first window comes when its last sample has arrived, and no window contains a
    discontinuity. All is computed when a window is complete, because many small calls cost more.
    """

    def __init__(
        self,
        spec: LogMelSpec,
        spectra: SpectraSpec | None = None,
        transform: Transform | None = None,
        *,
        keeps_samples: bool = False,
    ) -> None:
        """``transform``: in place of the usual one. ``keeps_samples``: see ``WindowTransform``."""
        self._tiles = window_tiles(spec)
        usual = WindowTransform(spec, spectra, keeps_samples=keeps_samples)
        self._transform = transform or usual.of

    @property
    def n_missing(self) -> int:
        """How many samples the next window still needs."""
        return self._tiles.n_missing

    def push(self, block: AudioBlock) -> list[LogMelWindow]:
        """The windows that ``block`` completes, in order. Raises as ``LogMelStream.push``."""
        return self._transform(self._tiles.push(block))
