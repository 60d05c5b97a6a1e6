"""The healthy scores of the channels, by statistics that were made without the recording.

A channel is other evidence or a longer span than that of the bundle
(:mod:`monitor.model.channel_scores`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.calibration.channels import ChannelKey
from monitor.domain import DoubleArray, FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.spectra import SPECTRA
from monitor.model.channel_calibration import EvidenceKind
from monitor.model.head import Head, whitened
from monitor.model.long_spans import LongSpan, SpanMean
from monitor.model.peak_scores import PeakScores
from monitor.model.peaks import HealthyPeaks
from training.sound.section_spectra import Spectra

Scores = dict[ChannelKey, list[float]]


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a recording is scored with: a head, and healthy spectra if there are any."""

    head: Head
    healthy: Sequence[HealthyPeaks] = ()
    peaks: PeakScores | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare the scores of the spectra, None if there are none."""
        object.__setattr__(self, "peaks", PeakScores(self.healthy) if self.healthy else None)

    def above(self, spectra: Spectra) -> FloatArray | None:
        """The row of the spectra of a window, None without any."""
        return self.peaks.above(spectra) if self.peaks is not None and spectra else None


class _Total:
    """The sum of rows of spectra."""

    def __init__(self) -> None:
        self._sum: DoubleArray | float = 0.0
        self._n = 0

    def add(self, above: FloatArray | None) -> None:
        if above is not None:
            self._sum = self._sum + above.astype(np.float64)
            self._n += 1

    def scores(self, peaks: PeakScores | None) -> tuple[float, ...]:
        """Of each spectrum, none if there was no row."""
        if peaks is None or not self._n:
            return ()
        return peaks.of(np.asarray(self._sum) / self._n, self._n)


@dataclass(frozen=True, slots=True)
class ScoredSections:
    """The scores of each section by channel, and the peaks of each as a whole.

    ``channels``: those over long spans are with the first section of their group. ``wholes``:
    ``(n_sections, n_spectra)``.
    """

    channels: list[dict[ChannelKey, DoubleArray]]
    wholes: DoubleArray


class _Group:
    """Sections that one long span may contain: their sums, and the parts of each long span."""

    def __init__(
        self, own: Statistics, spans: Sequence[LongSpan], spec: LogMelSpec, scores: Scores
    ) -> None:
        self._own, self._spec, self._scores = own, spec, scores
        self._spans = [SpanMean(span, own.head, own.peaks) for span in spans]
        self._total: DoubleArray | float = 0.0
        self._spectra = _Total()
        self._n_windows = 0

    def push(self, row: DoubleArray, above: FloatArray | None) -> None:
        self._total = self._total + row
        self._n_windows += 1
        self._spectra.add(above)
        evidence = whitened(row, self._own.head) if self._spans else row
        for mean in self._spans:
            if mean.push(evidence, above):
                peaks = mean.peaks() if self._own.peaks is not None else []
                self._keep(mean.span, [mean.distance(), *peaks])

    def finish(self) -> None:
        """One score over all windows for each span that is longer than the sound.

        Nothing is left out of it, and chance variation is larger: it is above that of a span.
        """
        distance = self._own.head.score(np.asarray(self._total) / self._n_windows, 0.0)
        scores = [distance, *self._spectra.scores(self._own.peaks)]
        for mean in self._spans:
            if self._key("distance", mean.span) not in self._scores:
                self._keep(mean.span, scores)

    def _keep(self, span: LongSpan, values: Sequence[float]) -> None:
        kinds: tuple[EvidenceKind, ...] = ("distance", *SPECTRA)
        for kind, value in zip(kinds, values, strict=False):
            self._scores.setdefault(self._key(kind, span), []).append(value)

    def _key(self, kind: EvidenceKind, span: LongSpan) -> ChannelKey:
        return ChannelKey(kind, span.span_s(self._spec), span.step_s(self._spec))


def score_sections(
    evidence: Sequence[FloatArray],
    statistics: Sequence[Statistics],
    group: Sequence[int],
    spec: LogMelSpec,
    *,
    span_windows: int,
    spans: Sequence[LongSpan],
    sound: Iterable[tuple[int, Spectra]] | None,
) -> ScoredSections:
    """Score every section as the run time would.

    ``evidence``: of the windows of each section, ``(n_windows, d)``. ``group``: a number for each
    section; long spans continue from section to section of a group, all with equal statistics.
    ``sound``: the spectra of each window, with the index of its section, needed if the statistics
    have any.
    """
    each: list[Scores] = [{} for _ in evidence]
    groups: dict[int, _Group] = {}
    recent: list[deque[FloatArray]] = [deque(maxlen=span_windows) for _ in evidence]
    totals = [_Total() for _ in evidence]
    taken = [0] * len(evidence)
    keys = [ChannelKey(kind, spec.seconds_of(span_windows), spec.window_hop_s) for kind in SPECTRA]
    for index, spectra in _windows(evidence, sound):
        own = statistics[index]
        above = own.above(spectra)
        row = np.asarray(evidence[index][taken[index]], dtype=np.float64)
        taken[index] += 1
        if group[index] not in groups:
            groups[group[index]] = _Group(own, spans, spec, each[index])
        groups[group[index]].push(row, above)
        if own.peaks is None or above is None:
            continue
        totals[index].add(above)
        recent[index].append(above)
        if len(recent[index]) == span_windows:
            mean = np.mean(recent[index], axis=0)
            for key, value in zip(keys, own.peaks.of(mean, span_windows), strict=True):
                each[index].setdefault(key, []).append(value)
    for one in groups.values():
        one.finish()
    wholes = [total.scores(own.peaks) for own, total in zip(statistics, totals, strict=True)]
    arrays = [{key: np.array(values) for key, values in scores.items()} for scores in each]
    return ScoredSections(arrays, np.array(wholes))


def _windows(
    evidence: Sequence[FloatArray], sound: Iterable[tuple[int, Spectra]] | None
) -> Iterator[tuple[int, Spectra]]:
    if sound is not None:
        yield from sound
        return
    for index, rows in enumerate(evidence):
        for _ in rows:
            yield index, ()
