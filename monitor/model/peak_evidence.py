"""The peaks of a bundle: what its spectra are like in healthy sound, as ``peaks.npz``."""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from pathlib import Path

import numpy as np

from monitor.domain import DoubleArray, FloatArray
from monitor.errors import BundleError
from monitor.features.spectra import SPECTRA, SpectraSpec
from monitor.model.arrays import pack_arrays, parse_arrays
from monitor.model.peak_scores import PeakScores
from monitor.model.peaks import HealthyPeaks, PeakRule

_WEIGHTS = "recording_weights"
_RULE_BEFORE = PeakRule(exponent=6)
"""That of bundles without a rule, from before there was a choice."""


@dataclass(frozen=True, slots=True)
class PeakEvidence:
    """The healthy spectra of a bundle.

    ``healthy``: for each of ``SPECTRA``. ``recording_weights``: the factor of the score of each
    spectrum in the score of a whole recording (:mod:`monitor.model.recording_score`). ``scores``:
    of all spectra of a window.
    """

    spec: SpectraSpec
    healthy: tuple[HealthyPeaks, ...]
    recording_weights: tuple[float, ...]
    scores: PeakScores = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare the scores."""
        object.__setattr__(self, "scores", PeakScores(self.healthy))


def pack_peaks(peaks: PeakEvidence) -> bytes:
    """``peaks.npz``."""
    arrays = {_WEIGHTS: np.array(peaks.recording_weights)}
    for name, healthy in zip(SPECTRA, peaks.healthy, strict=True):
        arrays[f"{name}_level_db"] = healthy.level_db
        arrays[f"{name}_variance_db2"] = healthy.variance_db2
        arrays[f"{name}_recordings"] = np.array(healthy.n_recordings)
        arrays[f"{name}_rule"] = np.array(astuple(healthy.rule))
    return pack_arrays({name: np.float32(array) for name, array in arrays.items()})


def parse_peaks(path: Path, content: bytes, spec: SpectraSpec) -> PeakEvidence:
    """What ``pack_peaks`` wrote, for spectra of this specification. Raises ``BundleError``."""
    names = [
        f"{name}_{what}" for name in SPECTRA for what in ("level_db", "variance_db2", "recordings")
    ]
    rules = tuple(f"{name}_rule" for name in SPECTRA)
    arrays = parse_arrays(path, content, (*names, _WEIGHTS), rules)
    envelope, lines = spec.envelope, spec.lines
    shapes = ((envelope.n_bands, len(envelope.rates_hz)), (1, len(lines.frequencies_hz)))
    healthy = []
    for name, shape, chance_db2 in zip(
        SPECTRA, shapes, (envelope.chance_db2, lines.chance_db2), strict=True
    ):
        level_db, variance_db2 = arrays[f"{name}_level_db"], arrays[f"{name}_variance_db2"]
        count = arrays[f"{name}_recordings"]
        if level_db.shape != shape or variance_db2.shape != shape or count.shape != ():
            raise BundleError(f"{path}: {name} must be of the shape {shape}")
        if count < 2 or not (variance_db2 > 0).all():
            raise BundleError(
                f"{path}: {name}_variance_db2 must be > 0 and {name}_recordings at least 2"
            )
        rule = _rule(path, f"{name}_rule", arrays.get(f"{name}_rule"))
        healthy.append(
            HealthyPeaks(
                level_db.astype(np.float64),
                variance_db2.astype(np.float64),
                rule.of_chance(chance_db2),
                int(count),
                rule,
            )
        )
    weights = arrays[_WEIGHTS]
    if weights.shape != (len(SPECTRA),) or not (weights >= 0).all():
        raise BundleError(f"{path}: {_WEIGHTS} must be {len(SPECTRA)} numbers >= 0")
    return PeakEvidence(spec, tuple(healthy), tuple(weights.astype(np.float64).tolist()))


def _rule(path: Path, name: str, stored: FloatArray | DoubleArray | None) -> PeakRule:
    if stored is None:
        return _RULE_BEFORE
    if stored.shape not in {(2,), (3,)} or not (stored[:2] == stored[:2].round()).all():
        raise BundleError(f"{path}: {name} must be two whole numbers and one number")
    exponent, first_bin, *limit = stored.tolist()
    try:
        return PeakRule(int(exponent), int(first_bin), *limit)
    except ValueError as error:
        raise BundleError(f"{path}: {name}: {error}") from None
