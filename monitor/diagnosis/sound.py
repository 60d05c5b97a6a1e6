"""What is measured of a piece of sound."""

from __future__ import annotations

from dataclasses import dataclass
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
from monitor.diagnosis.third_octaves import third_octaves_db
from monitor.domain import DoubleArray, FloatArray

LEAST_SEGMENTS = 3


@dataclass(frozen=True)
class Spectra:
    """The averaged spectra of a piece of sound, in dB.

    ``density_db``: the long-term spectrum, ``(n_bins,)``, power per Hz re full scale.
    ``envelope_db``: the envelope spectrum of each band, ``(n_bands, n_rates)``. ``kurtosis``: of
    each band, the median over the segments, ``(n_bands,)``. ``n_segments``: how many were averaged.
    """

    plan: SegmentPlan
    density_db: FloatArray
    envelope_db: FloatArray
    kurtosis: DoubleArray
    n_segments: int

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

    def averaged(self, chosen: npt.NDArray[np.bool_] | None = None) -> Spectra:
        """The mean over all, or over the chosen, segments."""
        some = slice(None) if chosen is None else chosen
        kurtosis = self.kurtosis[some]
        return Spectra(
            self.plan,
            self.density_db[some].mean(axis=0),
            self.envelope_db[some].mean(axis=0),
            np.median(kurtosis, axis=0).astype(np.float64),
            len(kurtosis),
        )


def segments_of(samples: FloatArray, plan: SegmentPlan) -> SoundSegments | None:
    """The spectra of the segments of a piece; None if it is shorter than ``LEAST_SEGMENTS``.

    Shape: ``(n_samples,)``.
    """
    if plan.count(len(samples)) < LEAST_SEGMENTS:
        return None
    spectra = transforms(samples, plan)
    envelopes = envelopes_of(spectra, plan)
    return SoundSegments(plan, levels_of(spectra), envelopes.levels_db, envelopes.kurtosis)
