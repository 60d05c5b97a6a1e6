"""What is measured of a piece of sound."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from monitor.diagnosis.combs import Combs, combs_of
from monitor.diagnosis.envelopes import envelopes_of
from monitor.diagnosis.segments import (
    DB_OF_CHANCE,
    SegmentPlan,
    background_of,
    levels_of,
    transforms,
)
from monitor.diagnosis.speed_track import speed_track
from monitor.diagnosis.steadied import steadied
from monitor.diagnosis.third_octaves import third_octaves_db
from monitor.domain import DoubleArray, FloatArray

LEAST_SEGMENTS = 3


@dataclass(frozen=True)
class Spectra:
    """The averaged spectra of a piece of sound, in dB.

    ``density_db``: the long-term spectrum, ``(n_bins,)``, power per Hz re full scale.
    ``envelope_db``: the envelope spectrum of each band, ``(n_bands, n_rates)``. ``kurtosis``: of
    each band, the median over the segments, ``(n_bands,)``. ``n_segments``: how many were averaged.
    ``power_db``: the mean of the power instead of that of its dB, which a line that moves does not
    lower. ``raw_density_db``: before a varying speed was made steady; None if the speed is steady.
    """

    plan: SegmentPlan
    density_db: FloatArray
    envelope_db: FloatArray
    kurtosis: DoubleArray
    n_segments: int
    power_db: FloatArray
    raw_density_db: FloatArray | None = None

    @cached_property
    def raw(self) -> Spectra:
        """With the long-term spectrum as it was before a varying speed was made steady."""
        if self.raw_density_db is None:
            return self
        return replace(self, density_db=self.raw_density_db, raw_density_db=None)

    @cached_property
    def background_db(self) -> FloatArray:
        """The long-term spectrum without its lines. Shape: ``(n_bins,)``."""
        return background_of(self.density_db, self.plan.bin_hz)

    @cached_property
    def prominence_db(self) -> FloatArray:
        """How far each bin is above the background. Shape: ``(n_bins,)``."""
        return self.density_db - self.background_db

    @cached_property
    def envelope_prominence_db(self) -> FloatArray:
        """The same for the envelope spectra. Shape: ``(n_bands, n_rates)``."""
        return self.envelope_db - background_of(self.envelope_db, self.plan.bin_hz)

    @property
    def deviation_db(self) -> float:
        """Of a bin of noise. Neighbouring segments overlap by half and are nearly independent."""
        return float(DB_OF_CHANCE / np.sqrt(self.n_segments))

    @cached_property
    def combs(self) -> Combs:
        """The rates in the envelope spectra of all bands."""
        return combs_of(self.envelope_prominence_db, self.plan.bin_hz, self.deviation_db)

    @cached_property
    def noise_thirds_db(self) -> DoubleArray:
        """The third octaves of the background: noise without lines. Shape: ``(n_thirds,)``."""
        return third_octaves_db(self.background_db, self.plan.bin_hz)

    @cached_property
    def thirds_db(self) -> DoubleArray:
        """The third octaves of all sound. Shape: ``(n_thirds,)``."""
        return third_octaves_db(self.density_db, self.plan.bin_hz)


@dataclass(frozen=True, slots=True)
class SoundSegments:
    """The spectra of each segment of a piece of sound. Shapes: as in ``Spectra``, one more axis."""

    plan: SegmentPlan
    density_db: FloatArray
    envelope_db: FloatArray
    kurtosis: FloatArray
    raw_density_db: FloatArray | None = None

    def averaged(self, chosen: npt.NDArray[np.bool_] | None = None) -> Spectra:
        """The mean over all, or over the chosen, segments."""
        some = slice(None) if chosen is None else chosen
        kurtosis, density_db, raw_db = self.kurtosis[some], self.density_db[some], None
        if self.raw_density_db is not None:
            raw_db = self.raw_density_db[some].mean(axis=0)
        return Spectra(
            self.plan,
            density_db.mean(axis=0),
            self.envelope_db[some].mean(axis=0),
            np.median(kurtosis, axis=0).astype(np.float64),
            len(kurtosis),
            10.0 * np.log10((10.0 ** (density_db / 10.0)).mean(axis=0)),
            raw_db,
        )


def segments_of(samples: FloatArray, plan: SegmentPlan) -> SoundSegments | None:
    """The spectra of the segments of a piece; None if it is shorter than ``LEAST_SEGMENTS``.

    Shape: ``(n_samples,)``. If the speed of the machine varies, and it is certain how, the spectra
    are those at its mean speed.
    """
    if plan.count(len(samples)) < LEAST_SEGMENTS:
        return None
    raw_db = None
    track = speed_track(samples, plan.rate_hz)
    if track is not None:
        raw_db = levels_of(transforms(samples, plan))
        samples = steadied(samples, plan.rate_hz, track)
    spectra = transforms(samples, plan)
    envelopes = envelopes_of(spectra, plan)
    return SoundSegments(plan, levels_of(spectra), envelopes.levels_db, envelopes.kurtosis, raw_db)
