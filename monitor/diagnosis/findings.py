"""What a diagnosis states, as records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from monitor.diagnosis.envelopes import Band

FindingKind = Literal[
    "impacts", "tone", "harmonics", "subharmonics", "sidebands", "broadband", "hum", "missing"
]


@dataclass(frozen=True, slots=True)
class Fit:
    """A cause that a rate fits.

    ``expected_hz``: the rate that this cause would have. ``deviation``: of the rate from it, as a
    share. ``text``: for people, with the conditions of the fit.
    """

    cause: str
    expected_hz: float
    deviation: float
    text: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "cause": self.cause,
            "expected_hz": round(self.expected_hz, 3),
            "deviation": round(self.deviation, 5),
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is in the alert and not in healthy sound.

    ``rate_hz``: how often it repeats, or the frequency of a tone; None for noise without rhythm.
    ``order``: the same in revolutions, None if the speed is not known. ``level_db``: over healthy
    sound. ``certainty``: how far it is above the limit of what counts, at least 1; findings are
    sorted by it. ``harmonics``: the multiples of the rate that were found. ``fits``: every cause
    that it matches, the nearest first; empty if there is none.
    """

    kind: FindingKind
    rate_hz: float | None
    rate_uncertainty_hz: float | None
    order: float | None
    level_db: float
    certainty: float
    text: str
    fits: tuple[Fit, ...] = ()
    band: Band | None = None
    harmonics: tuple[int, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """As in ``auscult diagnose --json`` and in alerts."""
        return {
            "kind": self.kind,
            "rate_hz": _rounded(self.rate_hz, 3),
            "rate_uncertainty_hz": _rounded(self.rate_uncertainty_hz, 3),
            "order": _rounded(self.order, 4),
            "level_db": round(self.level_db, 1),
            "certainty": round(self.certainty, 2),
            "band_hz": None
            if self.band is None
            else [round(self.band.low_hz), round(self.band.high_hz)],
            "harmonics": list(self.harmonics),
            "fits": [fit.to_dict() for fit in self.fits],
            "text": self.text,
        }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
