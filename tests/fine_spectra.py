"""Envelope and line spectra of sound that arrives in pieces, for tests."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from monitor.domain import AudioBlock, FloatArray
from monitor.features.envelope import EnvelopeSpec, EnvelopeStream
from monitor.features.line_spectrum import LineSpec, LineStream
from monitor.features.prominence import ProminenceWindow
from monitor.model.peak_scores import PeakScores
from monitor.model.peaks import HealthyPeaks

SMALL = EnvelopeSpec(
    sample_rate_hz=8_000,
    frame_hop=8,
    hop_frames=24,
    window_samples=500,
    f_min_hz=45.0,
    neighbours=4,
)
ODD_BANDS = EnvelopeSpec(
    sample_rate_hz=8_000,
    frame_hop=6,
    hop_frames=24,
    window_samples=400,
    f_min_hz=60.0,
    neighbours=4,
)
SMALL_LINES = LineSpec(
    sample_rate_hz=8_000, n_fft=256, hop_samples=300, window_samples=300, neighbours=8
)
OVERLAPPING = LineSpec(n_fft=512, hop_samples=200, window_samples=1_000, neighbours=8)


def stream_of(spec: EnvelopeSpec | LineSpec) -> EnvelopeStream | LineStream:
    return EnvelopeStream(spec) if isinstance(spec, EnvelopeSpec) else LineStream(spec)


def windows_of(
    samples: FloatArray, spec: EnvelopeSpec | LineSpec, cuts: list[int] | None = None
) -> list[ProminenceWindow]:
    stream = stream_of(spec)
    windows: list[ProminenceWindow] = []
    for first, end in pairwise([0, *sorted(cuts or []), len(samples)]):
        windows += stream.push(AudioBlock(samples[first:end], spec.sample_rate_hz, first))
    return windows


def mean_db(samples: FloatArray, spec: EnvelopeSpec | LineSpec) -> FloatArray:
    return np.asarray(np.mean([w.values_db for w in windows_of(samples, spec)], axis=0))


def same(ours: list[ProminenceWindow], others: list[ProminenceWindow]) -> bool:
    return len(ours) == len(others) and all(
        (a.first_sample, a.end_sample) == (b.first_sample, b.end_sample)
        and np.array_equal(a.values_db, b.values_db)
        for a, b in zip(ours, others, strict=True)
    )


def score_of(
    healthy: HealthyPeaks | PeakScores, mean_db: npt.NDArray[np.floating], n_windows: int
) -> float:
    """The score of one spectrum."""
    scores = PeakScores([healthy]) if isinstance(healthy, HealthyPeaks) else healthy
    (score,) = scores.of(scores.above([mean_db]), n_windows)
    return score
