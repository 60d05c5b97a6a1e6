"""How the training sound was captured: what a bundle scores, and which sound it can judge."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from monitor.domain import CaptureChain


class Capture(BaseModel):
    """What the training sound was like where recording chains differ.

    ``scored_bands``: the lowest mel bands, which the network scores. The others lie in the
    transition band of resamplers, converters and codecs. ``scored_share``: the share of the
    lowest Nyquist frequency up to which bands are scored. ``reach_hz``: where they end.
    ``low_db`` and ``high_db``: for each band, the range of the mean levels of healthy windows,
    without the lowest and highest fiftieth. ``slope_db_per_octave``: of the upper third of the
    scored bands. ``gap_share``: the largest share of spectral gaps in a recording, see
    ``monitor.audio.spectral_gaps``. ``zeroed_share``: the largest share of half seconds of a
    recording with zeros in place of lost sound, see ``monitor.audio.zeroed_sound``; None if it is
    not known. ``offset``: the largest steady offset of the samples, see
    ``monitor.audio.steady_offset``; None if it is not known. ``chains``: of the recordings, each
    one once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scored_bands: int = Field(ge=1)
    scored_share: FiniteFloat = Field(default=0.9, gt=0, le=1)
    reach_hz: FiniteFloat = Field(gt=0)
    low_db: tuple[FiniteFloat, ...]
    high_db: tuple[FiniteFloat, ...]
    slope_db_per_octave: FiniteFloat = 0.0
    gap_share: FiniteFloat = Field(default=0.0, ge=0, le=1)
    zeroed_share: FiniteFloat | None = Field(default=None, ge=0, le=1)
    offset: FiniteFloat | None = Field(default=None, ge=0)
    chains: tuple[CaptureChain, ...] = Field(default=(), max_length=1000)

    def problem(self, n_mels: int) -> str:
        """What does not fit features of ``n_mels`` bands; empty if everything fits."""
        if self.scored_bands > n_mels:
            return f"scored_bands: {self.scored_bands} of {n_mels} bands"
        for name in ("low_db", "high_db"):
            if len(getattr(self, name)) != n_mels:
                return f"{name}: {len(getattr(self, name))} values for {n_mels} bands"
        return ""
