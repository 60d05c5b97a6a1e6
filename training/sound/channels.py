"""The healthy scores of the channels, by statistics that were made without the recording.

A channel is other evidence or a longer span than that of the bundle
(:mod:`monitor.model.channel_scores`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.calibration.channels import ChannelKey
from monitor.domain import DoubleArray, FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.channel_calibration import EvidenceKind
from monitor.model.head import Head, whitened
from monitor.model.long_spans import LongSpan, SpanMean
from monitor.model.peaks import HealthyPeaks
from training.sound.section_spectra import Spectra

KINDS: tuple[EvidenceKind, ...] = ("envelope", "lines")
Scores = dict[ChannelKey, list[float]]


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a recording is scored with: a head, and healthy spectra if there are any."""

    head: Head
    healthy: Sequence[HealthyPeaks] = ()


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
        self._spans = [SpanMean(span) for span in spans]
        self._centres = whitened(own.head.centres, own.head)
        self._total: DoubleArray | float = 0.0
        self._spectra: list[DoubleArray] = []
        self._n_windows = 0

    def push(self, row: DoubleArray, spectra: Spectra) -> None:
        self._total = self._total + row
        self._n_windows += 1
        if spectra:
            _add(self._spectra, spectra)
        head, healthy = self._own.head, self._own.healthy
        for mean in self._spans:
            if mean.push(row, spectra):
                scores = [mean.distance(head, self._centres)]
                scores += [mean.peaks(number, one) for number, one in enumerate(healthy)]
                self._keep(mean.span, scores)

    def finish(self) -> None:
        """One score over all windows for each span that is longer than the sound.

        Nothing is left out of it, and chance variation is larger: it is above that of a span.
        """
        n, head = self._n_windows, self._own.head
        scores = [head.score(np.asarray(self._total) / n, 0.0)]
        scores += [
            healthy.score(total / n, n)
            for healthy, total in zip(self._own.healthy, self._spectra, strict=False)
        ]
        for mean in self._spans:
            if self._key("distance", mean.span) not in self._scores:
                self._keep(mean.span, scores)

    def _keep(self, span: LongSpan, values: Sequence[float]) -> None:
        kinds: tuple[EvidenceKind, ...] = ("distance", *KINDS)
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
    recent: list[deque[Spectra]] = [deque(maxlen=span_windows) for _ in evidence]
    sums: list[list[DoubleArray]] = [[] for _ in evidence]
    taken = [0] * len(evidence)
    keys = [ChannelKey(kind, spec.seconds_of(span_windows), spec.window_hop_s) for kind in KINDS]
    for index, spectra in _windows(evidence, sound):
        own = statistics[index]
        row = np.asarray(evidence[index][taken[index]], dtype=np.float64)
        taken[index] += 1
        if group[index] not in groups:
            groups[group[index]] = _Group(own, spans, spec, each[index])
        groups[group[index]].push(row, spectra)
        if not spectra:
            continue
        _add(sums[index], spectra)
        recent[index].append(spectra)
        if len(recent[index]) == span_windows:
            for number, (key, healthy) in enumerate(zip(keys, own.healthy, strict=False)):
                mean = np.mean([one[number] for one in recent[index]], axis=0)
                each[index].setdefault(key, []).append(healthy.score(mean, span_windows))
    for one in groups.values():
        one.finish()
    wholes = [
        [healthy.score(total / n, n) for healthy, total in zip(own.healthy, totals, strict=False)]
        for own, totals, n in zip(statistics, sums, taken, strict=True)
    ]
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


def _add(totals: list[DoubleArray], spectra: Spectra) -> None:
    if not totals:
        totals += [np.zeros(one.shape) for one in spectra]
    for total, one in zip(totals, spectra, strict=True):
        np.add(total, one, out=total)
