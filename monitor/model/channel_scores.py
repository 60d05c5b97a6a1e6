"""The scores of the channels of a bundle, beside those over its span.

A channel is one kind of evidence over one span: the distance over a long span, the peaks of a
spectrum over the span of the bundle or a long one, or what comes again and again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from monitor.domain import DoubleArray, FloatArray, LogMelWindow, Score
from monitor.features.spectra import SPECTRA
from monitor.model.bundle import Bundle
from monitor.model.channel_calibration import ChannelCalibration, EvidenceKind
from monitor.model.long_spans import LongSpan, SpanMean, long_spans
from monitor.model.peak_evidence import PeakEvidence
from monitor.model.recurrence import Recurrence, can_recur

_SAME_S = 1e-6


def is_long(channel: ChannelCalibration, bundle: Bundle) -> bool:
    """Whether the span of a channel is longer than that of its bundle."""
    return channel.span_s - bundle.actual_span_s > _SAME_S


def has_scores(channel: ChannelCalibration, bundle: Bundle, min_fault_s: float) -> bool:
    """Whether a single sound of ``min_fault_s`` is too short to raise the scores of a channel."""
    if channel.is_recurring:
        return can_recur(min_fault_s, bundle.actual_span_s)
    if not is_long(channel, bundle):
        return True
    span = LongSpan.calibrated(channel.span_s, channel.step_s, bundle.spec, min_fault_s)
    return span is not None


def every_channel(bundle: Bundle, min_fault_s: float) -> list[tuple[EvidenceKind, float, float]]:
    """Evidence, span and step of each channel that the bundle can have, besides its own span.

    None for a bundle of an earlier version, which has neither channels nor peaks.
    """
    calibration = bundle.manifest.calibration
    channels = calibration.channels if calibration is not None else ()
    has_channels = not all(one.is_recurring for one in channels)
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
    long spans, and of the sounds that come again. After a gap, these continue, because a fault does
    not end there.
    """

    def __init__(self, bundle: Bundle, min_fault_s: float) -> None:
        """``min_fault_s``: no sound that is shorter can raise the scores of a long span."""
        calibration = bundle.manifest.calibration
        is_distance = bundle.head.is_distance
        channels = calibration.channels if calibration is not None and is_distance else ()
        self._bundle = bundle
        self._above: deque[FloatArray] = deque(maxlen=bundle.span_windows)
        self._below: Mapping[int, float] | None = None
        self._short: list[_Member] = []
        self._long: list[_Long] = []
        number_of: dict[EvidenceKind, int] = {"distance": 0}
        by_span: dict[tuple[float, float], list[_Member]] = {}
        for number, channel in enumerate(channels, start=1):
            if channel.is_recurring:
                continue
            spectrum = None
            if channel.evidence != "distance":
                if bundle.peaks is None:
                    continue
                spectrum = SPECTRA.index(channel.evidence)
            member = _Member(number, spectrum, channel.budgets[-1].threshold)
            if abs(channel.span_s - bundle.actual_span_s) < _SAME_S:
                if spectrum is not None:
                    self._short.append(member)
                    number_of[channel.evidence] = number
            else:
                by_span.setdefault((channel.span_s, channel.step_s), []).append(member)
        for (span_s, step_s), members in by_span.items():
            span = LongSpan.calibrated(span_s, step_s, bundle.spec, min_fault_s)
            if span is not None:
                has_distance = any(one.spectrum is None for one in members)
                has_peaks = any(one.spectrum is not None for one in members)
                head = bundle.head if has_distance else None
                peaks = self._peaks.scores if has_peaks else None
                self._long.append(_Long(SpanMean(span, head, peaks), members))

        self._recurring = {
            number_of[channel.single_evidence]: Recurrence(number, bundle.spec.window_hop_s)
            for number, channel in enumerate(channels, start=1)
            if channel.is_recurring
            and channel.single_evidence in number_of
            and has_scores(channel, bundle, min_fault_s)
        }
        """By the number of the channel that they are made from."""

    def reset(self) -> None:
        """Sound was lost: scores over the bundle's span need a whole new one."""
        self._above.clear()

    def forget(self) -> None:
        """No later score over a long span may depend on the sound so far."""
        for long in self._long:
            long.mean.forget()
        for recurrence in self._recurring.values():
            recurrence.forget()

    def allow_bounds(self, below: Mapping[int, float] | None) -> None:
        """A score over a long span may be an upper bound if it is below the level of its channel.

        ``below``: by number; any score of a channel that is not in it may be a bound. None: every
        score is exact, as in the beginning. A bound takes a fraction of the time.
        """
        if below is self._below:
            return
        self._below = below
        for long in self._long:
            long.enough = None
            if below is not None:
                long.enough = [
                    min(
                        (below.get(m.number, np.inf) for m in long.members if m.spectrum == index),
                        default=np.inf,
                    )
                    for index in range(len(SPECTRA))
                ]

    def push(
        self, row: DoubleArray, above: FloatArray | None, window: LogMelWindow, score: Score | None
    ) -> list[Score]:
        """The scores of the channels that the window completes.

        ``row``: loss, level, residual of each band, evidence of the window. ``above``: the row of
        its spectra, None if it has none. ``score``: of the span of the bundle that ends with the
        window, if there is one.
        """
        scores: list[Score] = []
        over_span = [] if score is None else [score]
        if self._short:
            if above is not None:
                self._above.append(above)
            else:
                self._above.clear()
            if score is not None and len(self._above) == self._above.maxlen:
                scores += self._over_span(score)
                over_span += scores
        for one in over_span:
            again = self._recurring.get(one.channel)
            if again is not None and (found := again.push(one)) is not None:
                scores.append(found)
        for long in self._long:
            if long.mean.push(row, above, window.first_sample):
                scores += self._over_long_span(long, window)
        return scores

    def _over_span(self, base: Score) -> list[Score]:
        values = self._peaks.scores.of_rows(self._above)
        return [
            self._score(base, member, values[member.spectrum], self._mean_above)
            for member in self._short
            if member.spectrum is not None
        ]

    def _mean_above(self) -> tuple[FloatArray, int]:
        """The mean of the rows of spectra over the span of the bundle, and of how many windows."""
        n_windows = len(self._above)
        total: FloatArray = np.sum(self._above, axis=0)
        return total * np.float32(1.0 / n_windows), n_windows

    def _over_long_span(self, long: _Long, last: LogMelWindow) -> list[Score]:
        mean = long.mean
        spec, row = self._bundle.spec, mean.mean_row
        base = Score(
            value=0.0,
            loss=float(row[0]),
            first_sample=mean.first_sample,
            end_sample=last.end_sample,
            band_error=row[2 : 2 + spec.n_mels].astype(np.float32),
            level_db=float(row[1]),
        )
        scores = []
        peaks: list[float] | None = None
        for member in long.members:
            if member.spectrum is None:
                scores.append(self._score(base, member, mean.distance(), long.mean_above))
            elif mean.has_spectra:
                peaks = peaks or mean.peaks(long.enough)
                scores.append(self._score(base, member, peaks[member.spectrum], long.mean_above))
        return scores

    def _score(
        self,
        base: Score,
        member: _Member,
        value: float,
        mean_above: Callable[[], tuple[FloatArray, int]],
    ) -> Score:
        """The score of a channel. ``mean_above``: gives what the bands are found in."""
        bands_hz: tuple[tuple[float, float], ...] = ()
        if member.spectrum is not None and value > member.least_threshold:
            place = self._peaks.scores.highest(member.spectrum, *mean_above())
            bands_hz = (self._peaks.spec.band_hz(member.spectrum, *place),)
        return Score(
            value,
            base.loss,
            base.first_sample,
            base.end_sample,
            base.band_error,
            base.level_db,
            member.number,
            bands_hz,
        )

    @property
    def _peaks(self) -> PeakEvidence:
        if self._bundle.peaks is None:
            raise ValueError("the bundle has no spectra")
        return self._bundle.peaks


class _Member(NamedTuple):
    """A channel: its ``number``, its ``spectrum`` as in ``SPECTRA`` (None: the distance).

    ``least_threshold``: below it, no budget raises an alert or a warning.
    """

    number: int
    spectrum: int | None
    least_threshold: float


@dataclass(slots=True)
class _Long:
    """A long span with its channels. ``enough``: as in ``SpanMean.peaks``."""

    mean: SpanMean
    members: list[_Member]
    enough: list[float] | None = None

    def mean_above(self) -> tuple[FloatArray, int]:
        """The mean of the rows of spectra, and of how many windows."""
        return self.mean.mean_above, self.mean.span.n_windows
