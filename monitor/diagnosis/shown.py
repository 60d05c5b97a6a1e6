"""The spectra that findings rest on, small enough to be kept and drawn by a web page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.diagnosis.diagnose import Diagnosis
from monitor.diagnosis.envelopes import bands_of
from monitor.diagnosis.findings import Finding
from monitor.diagnosis.sound import Spectra
from monitor.domain import FloatArray

_MOST_FINDINGS = 5
_MOST_POINTS = 600
_COMB_LINES = 6.5
"""An envelope spectrum is shown up to so many multiples of its rate."""
_LEAST_RATE_HZ, _LEAST_TOP_HZ = 50.0, 200.0
_HEARD_OCTAVES = 0.25
"""Around the lines of a finding, what can be listened to reaches so much further."""
_LEAST_WIDTH_HZ = 40.0


def shown(diagnosis: Diagnosis) -> dict[str, Any]:
    """The findings with their spectra, as JSON-ready values (``docs/evidence.md``)."""
    findings = diagnosis.findings[:_MOST_FINDINGS]
    spectra: list[dict[str, Any]] = []
    described = []
    for one in findings:
        spectrum = _spectrum_of(one, diagnosis)
        described.append(
            {
                **one.to_dict(),
                "listen_hz": _listen_hz(one, diagnosis.sound),
                "spectrum": len(spectra) if spectrum is not None else None,
            }
        )
        spectra += [spectrum] if spectrum is not None else []
    healthy = diagnosis.healthy
    return {
        "findings": described,
        "notes": list(diagnosis.notes),
        "healthy_pieces": len(healthy.pieces) if healthy is not None and healthy.has_sound else 0,
        "spectra": spectra,
    }


@dataclass(frozen=True, slots=True)
class _Curve:
    """One spectrum of the sound and the highest of the healthy pieces. Shape: ``(n,)`` each."""

    level_db: FloatArray
    healthy_db: FloatArray
    bin_hz: float

    def described(self, top_hz: float) -> dict[str, Any]:
        """Up to a frequency; of neighbouring bins the highest, in at most ``_MOST_POINTS``."""
        count = min(len(self.level_db), math.floor(top_hz / self.bin_hz) + 1)
        step = -(-count // _MOST_POINTS)
        starts = np.arange(0, count, step)
        return {
            "step_hz": round(step * self.bin_hz, 6),
            "level_db": _rounded(np.maximum.reduceat(self.level_db[:count], starts)),
            "healthy_db": _rounded(np.maximum.reduceat(self.healthy_db[:count], starts)),
        }


def _spectrum_of(finding: Finding, diagnosis: Diagnosis) -> dict[str, Any] | None:
    """The envelope spectrum of its band, or the long-term spectrum; with the comb to mark."""
    sound, healthy = diagnosis.sound, diagnosis.healthy
    if sound is None or healthy is None:
        return None
    rate_hz, bands = finding.rate_hz, bands_of(sound.plan.rate_hz)
    bin_hz = sound.plan.bin_hz
    if rate_hz is not None and finding.band in bands:
        number = bands.index(finding.band)
        curve = _Curve(
            sound.envelope_db[number],
            np.max([one.envelope_db[number] for one in healthy.pieces], axis=0),
            bin_hz,
        )
        top_hz = max(_LEAST_RATE_HZ, _COMB_LINES * rate_hz)
        highest_hz = min(top_hz, (len(curve.level_db) - 1) * bin_hz)
        comb_hz = [n * rate_hz for n in range(1, math.floor(highest_hz / rate_hz) + 1)]
        about: dict[str, Any] = {
            "of": "envelope",
            "band_hz": [round(one) for one in _edges(finding)],
        }
    else:
        curve = _Curve(
            sound.density_db, np.max([one.density_db for one in healthy.pieces], axis=0), bin_hz
        )
        comb_hz = _lines_hz(finding)
        edges = [*comb_hz, *(_edges(finding) if finding.band is not None else ())]
        top_hz = max(_LEAST_TOP_HZ, 1.5 * max(edges, default=sound.plan.rate_hz / 2.0))
        about = {"of": "sound", "band_hz": None}
    return {**about, **curve.described(top_hz), "comb_hz": [round(one, 2) for one in comb_hz]}


def _edges(finding: Finding) -> tuple[float, float]:
    return (finding.band.low_hz, finding.band.high_hz) if finding.band is not None else (0.0, 0.0)


def _lines_hz(finding: Finding) -> list[float]:
    """Where its lines are. Those of sidebands are not multiples of its rate."""
    if finding.rate_hz is None or finding.kind == "sidebands":
        return []
    return [number * finding.rate_hz for number in finding.harmonics or (1,)]


def _listen_hz(finding: Finding, sound: Spectra | None) -> list[float] | None:
    """The frequencies to play, in which it is audible; None if they are not known."""
    if finding.band is not None:
        low_hz, high_hz = _edges(finding)
    elif lines_hz := _lines_hz(finding):
        wider = 2.0**_HEARD_OCTAVES
        low_hz = min(min(lines_hz) / wider, min(lines_hz) - _LEAST_WIDTH_HZ)
        high_hz = max(max(lines_hz) * wider, max(lines_hz) + _LEAST_WIDTH_HZ)
    else:
        return None
    top_hz = sound.plan.rate_hz / 2.0 if sound is not None else high_hz
    return [round(max(0.0, low_hz), 1), round(min(high_hz, top_hz), 1)]


def _rounded(values_db: FloatArray) -> list[float]:
    return [round(float(value), 1) for value in values_db]
