"""The channels of a machine: its healthy spectra, and the healthy scores of every channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from monitor.calibration.threshold import HealthyRecording
from monitor.model.long_spans import LongSpan, long_spans
from monitor.model.peak_evidence import PeakEvidence
from monitor.model.recording_score import combined
from training.sound.channels import Statistics, score_sections
from training.sound.controls import Trial
from training.sound.crossfit import FoldHead, HealthySound, head_for
from training.sound.peak_statistics import LEAST_RECORDINGS, PieceSpectra, piece_spectra
from training.sound.recordings import are_apart
from training.sound.section_spectra import SectionSpectra


@dataclass(frozen=True, slots=True)
class Channels:
    """The healthy recordings with the scores of their channels.

    ``peaks``: the healthy spectra of all recordings, None without any. ``statistics``: for each
    recording or section, what was made without its fold. ``spans``: of the scores over long spans,
    none without distances.
    """

    healthy: list[HealthyRecording]
    peaks: PeakEvidence | None
    statistics: list[Statistics] = field(repr=False)
    spans: tuple[LongSpan, ...]


def caution(n_recordings: int) -> float:
    """A spectrum changes the score of a recording from so many times the largest healthy peaks.

    1.5, and half more for each recording fewer than eight: the largest of a few is rather low, and
    so is the variance that they show. With 2.5 instead of 3.5 at four recordings, the real faults
    of a motor are found less well (AUC 0.98 instead of 1).
    """
    return max(1.5, 5.5 - 0.5 * n_recordings)


def with_channels(
    healthy: Sequence[HealthyRecording],
    sound: HealthySound,
    heads: Sequence[FoldHead],
    trial: Trial,
    sections: SectionSpectra | None,
    *,
    min_fault_s: float,
) -> Channels:
    """Score the healthy recordings in every channel.

    There are no channels without distances, and no spectra with fewer than ``LEAST_RECORDINGS``
    recordings or sections. ``sections``: None where the features have no spectra.
    """
    if not heads[0].head.is_distance:
        return Channels(list(healthy), None, _statistics(heads, trial, None, None), ())
    n = len(sound.recordings)
    is_enough = n >= LEAST_RECORDINGS and trial.fold.max() > 0
    pieces = piece_spectra(sections) if sections is not None and is_enough else None
    file = [recording.file for recording in trial.recordings]
    statistics = _statistics(heads, trial, pieces, sections)
    spans = long_spans(trial.spec, min_fault_s)
    scored = score_sections(
        [recording.evidence for recording in sound.recordings],
        statistics,
        file if are_apart(file, trial.fold) else range(n),
        trial.spec,
        span_windows=trial.span_windows,
        spans=spans,
        sound=sections.windows() if pieces is not None and sections is not None else None,
    )
    with_scores = [
        replace(one, channels=channels)
        for one, channels in zip(healthy, scored.channels, strict=True)
    ]
    if pieces is None or sections is None:
        return Channels(with_scores, None, statistics, spans)
    everything = np.ones(n, dtype=bool)
    largest = max(one.whole for one in healthy)
    weights = largest / (caution(n) * np.maximum(scored.wholes.max(axis=0), 1e-6))
    final = pieces.healthy(everything, sections, _f_max_hz(trial))
    with_wholes = [
        replace(one, whole=combined([one.whole, *(weights * peaks).tolist()]))
        for one, peaks in zip(with_scores, scored.wholes, strict=True)
    ]
    found = PeakEvidence(sections.spectra, final, tuple(weights.tolist()))
    return Channels(with_wholes, found, statistics, spans)


def _statistics(
    heads: Sequence[FoldHead],
    trial: Trial,
    pieces: PieceSpectra | None,
    sections: SectionSpectra | None,
) -> list[Statistics]:
    """For each section, what was made without its fold."""
    n = len(trial.recordings)
    if pieces is None or sections is None:
        return [Statistics(head_for(heads, index)) for index in range(n)]
    by_fold = {
        int(fold): pieces.healthy(trial.fold != fold, sections, _f_max_hz(trial))
        for fold in np.unique(trial.fold)
    }
    return [
        Statistics(head_for(heads, index), by_fold[int(trial.fold[index])]) for index in range(n)
    ]


def _f_max_hz(trial: Trial) -> float:
    """Up to where sound is scored."""
    scored_bands = trial.graph.layout.n_bands
    return float(trial.spec.band_corners_hz[scored_bands + 1])
