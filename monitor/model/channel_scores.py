"""The scores of the channels of a bundle, beside those over its span.

A channel is one kind of evidence over one span: the distance over a long span, or the peaks of a
spectrum over the span of the bundle or a long one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from monitor.domain import DoubleArray, FloatArray, LogMelWindow, Score
from monitor.features.spectra import SPECTRA
from monitor.model.bundle import Bundle
from monitor.model.channel_calibration import ChannelCalibration, EvidenceKind
from monitor.model.head import whitened
from monitor.model.long_spans import LongSpan, SpanMean, long_spans
from monitor.model.peak_evidence import PeakEvidence
from monitor.model.peaks import HealthyPeaks

_SAME_S = 1e-6


def is_long(channel: ChannelCalibration, bundle: Bundle) -> bool:
    """Whether the span of a channel is longer than that of its bundle."""
    return channel.span_s - bundle.actual_span_s > _SAME_S


def long_span_of(
    channel: ChannelCalibration, bundle: Bundle, min_fault_s: float
) -> LongSpan | None:
    """The span of a long channel; None if ``min_fault_s`` fills too much: it has no scores."""
    return LongSpan.calibrated(channel.span_s, channel.step_s, bundle.spec, min_fault_s)


def every_channel(bundle: Bundle, min_fault_s: float) -> list[tuple[EvidenceKind, float, float]]:
    """Evidence, span and step of each channel that the bundle can have, besides its own span.

    None for a bundle of an earlier version, which has neither channels nor peaks.
    """
    calibration = bundle.manifest.calibration
    has_channels = calibration is not None and calibration.channels
    if not bundle.head.is_distance or not (has_channels or bundle.peaks is not None):
        return []
    spec = bundle.spec
    of_spectra: list[EvidenceKind] = ["envelope", "lines"] if bundle.peaks is not None else []
    found = [(kind, bundle.actual_span_s, spec.window_hop_s) for kind in of_spectra]
    kinds: list[EvidenceKind] = ["distance", *of_spectra]
    for span in long_spans(spec, min_fault_s):
        found += [(kind, span.span_s(spec), span.step_s(spec)) for kind in kinds]
    return found


class ChannelScorer:
    """One machine's scores of every channel but the first.

    State: the spectra of the last windows of unbroken sound, at most a span, and the parts of the
    long spans. After a gap, the long spans continue, because a fault does not end there.
    """

    def __init__(self, bundle: Bundle, min_fault_s: float) -> None:
        """``min_fault_s``: no sound that is shorter can raise the scores of a long span."""
        calibration = bundle.manifest.calibration
        is_distance = bundle.head.is_distance
        channels = calibration.channels if calibration is not None and is_distance else ()
        self._bundle = bundle
        self._centres = whitened(bundle.head.centres, bundle.head)
        self._spectra: deque[Sequence[FloatArray]] = deque(maxlen=bundle.span_windows)
        self._short: list[tuple[int, ChannelCalibration]] = []
        self._long: list[tuple[SpanMean, list[tuple[int, ChannelCalibration]]]] = []
        by_span: dict[tuple[float, float], list[tuple[int, ChannelCalibration]]] = {}
        for number, channel in enumerate(channels, start=1):
            if channel.evidence != "distance" and bundle.peaks is None:
                continue
            if abs(channel.span_s - bundle.actual_span_s) < _SAME_S:
                if channel.evidence != "distance":
                    self._short.append((number, channel))
            else:
                by_span.setdefault((channel.span_s, channel.step_s), []).append((number, channel))
        for members in by_span.values():
            span = long_span_of(members[0][1], bundle, min_fault_s)
            if span is not None:
                self._long.append((SpanMean(span), members))

    def reset(self) -> None:
        """Sound was lost: scores over the bundle's span need a whole new one."""
        self._spectra.clear()

    def forget(self) -> None:
        """No later score over a long span may depend on the sound so far."""
        for mean, _ in self._long:
            mean.forget()

    def push(self, row: DoubleArray, window: LogMelWindow, score: Score | None) -> list[Score]:
        """The scores of the channels that the window completes.

        ``row``: loss, level, residual of each band, evidence of the window. ``score``: of the
        span of the bundle that ends with the window, if there is one.
        """
        scores = []
        if self._short:
            if window.spectra:
                self._spectra.append(window.spectra)
            else:
                self._spectra.clear()
            if score is not None and len(self._spectra) == self._spectra.maxlen:
                scores += [self._over_span(score, *channel) for channel in self._short]
        for mean, members in self._long:
            if mean.push(row, window.spectra, window.first_sample):
                scores += self._over_long_span(mean, members, window)
        return scores

    def _over_span(self, score: Score, number: int, channel: ChannelCalibration) -> Score:
        spectrum, n_windows = SPECTRA.index(channel.evidence), len(self._spectra)
        first, *others = (spectra[spectrum] for spectra in self._spectra)
        mean_db = first.copy()
        for other in others:
            mean_db += other
        mean_db *= np.float32(1.0 / n_windows)
        value = self._healthy(spectrum).score(mean_db, n_windows)
        bands_hz = (
            self._bands_hz(spectrum, mean_db, n_windows) if _may_raise(channel, value) else ()
        )
        return replace(score, value=value, channel=number, bands_hz=bands_hz)

    def _over_long_span(
        self, mean: SpanMean, members: Sequence[tuple[int, ChannelCalibration]], last: LogMelWindow
    ) -> list[Score]:
        bundle = self._bundle
        spec, row = bundle.spec, mean.mean_row
        base = Score(
            value=0.0,
            loss=float(row[0]),
            first_sample=mean.first_sample,
            end_sample=last.end_sample,
            band_error=row[2 : 2 + spec.n_mels].astype(np.float32),
            level_db=float(row[1]),
        )
        scores = []
        for number, channel in members:
            if channel.evidence == "distance":
                value = mean.distance(bundle.head, self._centres)
                scores.append(replace(base, value=value, channel=number))
            elif mean.has_spectra:
                spectrum = SPECTRA.index(channel.evidence)
                value = mean.peaks(spectrum, self._healthy(spectrum))
                bands_hz: tuple[tuple[float, float], ...] = ()
                if _may_raise(channel, value):
                    mean_db = mean.mean_spectrum(spectrum)
                    bands_hz = self._bands_hz(spectrum, mean_db, mean.span.n_windows)
                scores.append(replace(base, value=value, channel=number, bands_hz=bands_hz))
        return scores

    def _healthy(self, spectrum: int) -> HealthyPeaks:
        return self._peaks.healthy[spectrum]

    @property
    def _peaks(self) -> PeakEvidence:
        if self._bundle.peaks is None:
            raise ValueError("the bundle has no spectra")
        return self._bundle.peaks

    def _bands_hz(
        self, spectrum: int, mean_db: FloatArray, n_windows: int
    ) -> tuple[tuple[float, float], ...]:
        """Where the spectrum stands out."""
        band, place = self._healthy(spectrum).highest(mean_db, n_windows)
        return (self._peaks.spec.band_hz(spectrum, band, place),)


def _may_raise(channel: ChannelCalibration, value: float) -> bool:
    """Whether the score is above the threshold of an alert or a warning at some budget."""
    return value > channel.budgets[-1].threshold
