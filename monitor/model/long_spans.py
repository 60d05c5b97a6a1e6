"""Scores over more sound than the span of a bundle: 10 s, 15 s, 27 s, 2 min, 15 min.

A fault lasts for hours. In the average over minutes, chance variation cancels that hides a faint
fault for seconds. A long span consists of parts. Its score is bounded by the smallest one that is
left when any stretch of neighbouring parts is taken out that is as long as a sound that must not
raise an alert. So no such sound can raise one, however loud it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import NamedTuple

import numpy as np

from monitor.domain import DoubleArray, FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.head import Head, distances_between, larger_distance
from monitor.model.peak_scores import PeakScores

_PARTS = {10.0: 9, 15.0: 8, 27.0: 5, 120.0: 8, 900.0: 8}
LONG_SPANS_S = tuple(_PARTS)
_MOST_LEFT_OUT = 5 / 9
_MOST_GAIN = 1.25


@dataclass(frozen=True, slots=True)
class LongSpan:
    """``n_parts`` parts of ``part_windows`` windows; ``left_out`` of them may be taken out."""

    part_windows: int
    n_parts: int
    left_out: int

    @classmethod
    def calibrated(
        cls, span_s: float, step_s: float, spec: LogMelSpec, min_fault_s: float
    ) -> LongSpan | None:
        """The span with this length and step; None if ``min_fault_s`` fills too much of it.

        Too much is more than five of nine parts. A part shares samples with a sound of ``T``
        seconds if it begins less than a part before the sound and before its end, so at most
        ``ceil((T + part) / step)`` parts do.
        """
        part_windows = max(1, round(step_s / spec.window_hop_s))
        step_s = part_windows * spec.window_hop_s
        n_parts = max(1, round((span_s - _beyond_steps_s(spec)) / step_s))
        left_out = math.ceil((min_fault_s + spec.seconds_of(part_windows)) / step_s)
        is_enough = left_out <= _MOST_LEFT_OUT * n_parts
        return cls(part_windows, n_parts, left_out) if is_enough else None

    @property
    def n_windows(self) -> int:
        """Windows in a span."""
        return self.n_parts * self.part_windows

    def span_s(self, spec: LogMelSpec) -> float:
        """Seconds of sound in a span."""
        return spec.seconds_of(self.n_windows)

    def step_s(self, spec: LogMelSpec) -> float:
        """Seconds from score to score."""
        return self.part_windows * spec.window_hop_s


def long_spans(spec: LogMelSpec, min_fault_s: float) -> tuple[LongSpan, ...]:
    """The spans of ``LONG_SPANS_S`` that a sound of ``min_fault_s`` does not fill too much."""
    found = []
    for span_s, n_parts in _PARTS.items():
        part_windows = round((span_s - _beyond_steps_s(spec)) / n_parts / spec.window_hop_s)
        step_s = max(1, part_windows) * spec.window_hop_s
        length_s = n_parts * step_s + _beyond_steps_s(spec)
        found.append(LongSpan.calibrated(length_s, step_s, spec, min_fault_s))
    return tuple(span for span in found if span is not None)


def _beyond_steps_s(spec: LogMelSpec) -> float:
    """How much longer a span is than its steps: a window is longer than its hop."""
    return spec.seconds_of(1) - spec.window_hop_s


def nominal_s(span_s: float) -> float:
    """The one of ``LONG_SPANS_S`` that a span was made for: spans are whole windows."""
    return next((one for one in LONG_SPANS_S if 0.8 < span_s / one < 1.25), span_s)


class SpanMean:
    """The parts of one long span, in constant memory.

    ``head``: needed for :meth:`distance`. ``peaks``: needed for :meth:`peaks`. State: the sums of
    the part being filled, and the last whole parts. What is pushed is a row of whatever is averaged
    in double precision, which ends with the whitened evidence, and a row of ``peaks``, which is
    averaged in single precision. Windows without spectra give parts without them.
    """

    def __init__(
        self, span: LongSpan, head: Head | None = None, peaks: PeakScores | None = None
    ) -> None:
        self.span = span
        self._head, self._peaks = head, peaks
        self._weights = _weights(span)
        n_kept = (span.n_parts - span.left_out) * span.part_windows
        n_means = self._weights.of_parts.shape[1]
        self._windows_of_means = [*repeat(n_kept, n_means - 1), span.n_windows]
        self._most_gain = min(_MOST_GAIN, math.sqrt(span.n_windows / n_kept))
        self._above: FloatArray | None = None  # of the first window with spectra: log-mel has none
        self.forget()

    def forget(self) -> None:
        """The next score needs a whole new span."""
        n_parts = self.span.n_parts
        self._n_windows = self._n_with_spectra = self._n_parts = 0
        self._filling = 0  # the place of the part being filled, which is that of the oldest one
        self._rows: DoubleArray | None = None
        self._firsts = [0] * n_parts
        self._parts_have_spectra = [False] * n_parts

    @property
    def first_sample(self) -> int:
        """Where the first of the whole parts begins, right after a part has ended."""
        return self._firsts[self._filling]

    def push(self, row: DoubleArray, above: FloatArray | None, first_sample: int = 0) -> bool:
        """Take one window; whether it ends a part and there are enough parts for a score.

        ``above``: of the spectra of the window, None if it has none. ``first_sample``: of the
        window.
        """
        place = self._filling
        if self._rows is None:
            self._rows = np.zeros((self.span.n_parts, len(row)))
        if self._n_windows:
            part = self._rows[place]
            np.add(part, row, part)
        else:
            self._rows[place] = row
            self._firsts[place] = first_sample
        self._n_windows += 1
        if above is not None and self._peaks is not None:
            if self._above is None:
                self._above = np.zeros((self.span.n_parts, len(above)), dtype=np.float32)
            if self._n_with_spectra:
                spectra = self._above[place]
                np.add(spectra, above, spectra)
            else:
                self._above[place] = above
            self._n_with_spectra += 1
        if self._n_windows < self.span.part_windows:
            return False
        self._rows[place] /= self._n_windows
        self._parts_have_spectra[place] = self._n_with_spectra == self._n_windows
        self._n_windows = self._n_with_spectra = 0
        self._n_parts = min(self._n_parts + 1, self.span.n_parts)
        self._filling = (place + 1) % self.span.n_parts
        return self._n_parts == self.span.n_parts

    @property
    def mean_row(self) -> DoubleArray:
        """The mean of the whole parts, right after a part has ended. Shape: that of a row."""
        mean: DoubleArray = self._whole_rows.sum(axis=0) / self.span.n_parts
        return mean

    @property
    def _whole_rows(self) -> DoubleArray:
        if self._rows is None:
            raise ValueError("there is no whole part")
        return self._rows

    @property
    def has_spectra(self) -> bool:
        """Whether all whole parts have spectra."""
        return all(self._parts_have_spectra)

    def distance(self) -> float:
        """The score of the evidence, >= 0, right after a part has ended."""
        if self._head is None:
            raise ValueError("a distance needs a head")
        evidence = self._whole_rows[:, -len(self._head.whitener) :]
        kept = self._weights.of_parts[self._filling, :-1] @ evidence
        distances = distances_between(kept, self._head.whitened_centres)
        return float(larger_distance(*distances, self._head).min())

    def peaks(self, enough: Sequence[float] | None = None) -> list[float]:
        """The score of each spectrum, >= 0, right after a part has ended.

        The score of all parts, but at most that of the parts without a stretch, times what a
        lasting fault loses with the stretch: chance hides peaks by the root of the time. The
        factor is at most 1.25. So a short sound can give little more than the healthy sound
        beside it. All parts must have spectra. ``enough``: if the score of all parts is below this
        for every spectrum, it is returned as it is, an upper bound.
        """
        if self._peaks is None or self._above is None:
            raise ValueError("peaks need healthy spectra")
        weights, n_windows = self._weights.of_sums[self._filling], self._windows_of_means
        of_all = self._peaks.of_means(weights[-1:], self._above, n_windows[-1:])[0]
        if enough is not None and (of_all < enough).all():
            bounds: list[float] = of_all.tolist()
            return bounds
        least = self._peaks.of_means(weights[:-1], self._above, n_windows[:-1]).min(axis=0)
        limited: list[float] = np.minimum(of_all, self._most_gain * least).tolist()
        return limited

    @property
    def mean_above(self) -> FloatArray:
        """The mean of the rows of ``peaks``, right after a part has ended."""
        if self._above is None:
            raise ValueError("peaks need healthy spectra")
        mean: FloatArray = self._weights.of_sums[self._filling, -1] @ self._above
        return mean


class _Weights(NamedTuple):
    """The weight of each part in the means without a stretch, and last in that of all parts.

    Shape: ``(n_parts, n_means, n_parts)``. The first index is the place of the oldest part.
    ``of_sums``: for parts that are sums of their windows, in single precision.
    """

    of_parts: DoubleArray
    of_sums: FloatArray


@lru_cache(maxsize=16)
def _weights(span: LongSpan) -> _Weights:
    n_parts, left_out = span.n_parts, span.left_out
    kept = np.ones((n_parts - left_out + 2, n_parts))
    for first in range(n_parts - left_out + 1):
        kept[first, first : first + left_out] = 0.0
    kept /= kept.sum(axis=1, keepdims=True)
    of_parts = np.stack([np.roll(kept, oldest, axis=1) for oldest in range(n_parts)])
    return _Weights(of_parts, (of_parts / span.part_windows).astype(np.float32))
