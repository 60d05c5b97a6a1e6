"""Scores over more sound than the span of a bundle: 10 s, 15 s, 2 min, 15 min.

A fault lasts for hours. In the average over minutes, chance variation cancels that hides a faint
fault for seconds. A long span consists of parts. Its score is bounded by the smallest one that is
left when any stretch of neighbouring parts is taken out that is as long as a sound that must not
raise an alert. So no such sound can raise one, however loud it is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from monitor.domain import DoubleArray, FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.head import Head, distances_between, larger_distance, whitened
from monitor.model.peaks import HealthyPeaks

Values = TypeVar("Values", DoubleArray, FloatArray)

_PARTS = {10.0: 9, 15.0: 8, 120.0: 8, 900.0: 8}
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

    State: the sums of the part being filled, and the means of the last whole parts. ``rows`` are
    whatever is averaged in double precision, and ends with the evidence; spectra are averaged in
    single precision. Windows without spectra give parts without them.
    """

    def __init__(self, span: LongSpan) -> None:
        self.span = span
        self.forget()

    def forget(self) -> None:
        """The next score needs a whole new span."""
        self._row: DoubleArray | float = 0.0
        self._spectra: list[FloatArray] | None = None
        self._n_with_spectra = 0
        self._n_windows = 0
        self._firsts: deque[int] = deque(maxlen=self.span.n_parts)
        self._first_sample = 0
        self._rows: deque[DoubleArray] = deque(maxlen=self.span.n_parts)
        self._parts: deque[tuple[FloatArray, ...]] = deque(maxlen=self.span.n_parts)

    @property
    def first_sample(self) -> int:
        """Where the first of the whole parts begins."""
        return self._firsts[0]

    def push(self, row: DoubleArray, spectra: Sequence[FloatArray], first_sample: int = 0) -> bool:
        """Take one window; whether it ends a part and there are enough parts for a score.

        ``first_sample``: of the window.
        """
        if not self._n_windows:
            self._first_sample = first_sample
        self._row = self._row + row
        self._n_windows += 1
        if spectra:
            self._n_with_spectra += 1
            if self._spectra is None:
                self._spectra = [spectrum.copy() for spectrum in spectra]
            else:
                for number, spectrum in enumerate(spectra):
                    self._spectra[number] += spectrum
        if self._n_windows < self.span.part_windows:
            return False
        self._firsts.append(self._first_sample)
        self._rows.append(np.asarray(self._row) / self._n_windows)
        has_spectra = self._spectra is not None and self._n_with_spectra == self._n_windows
        share = np.float32(1.0 / self._n_windows)
        self._parts.append(
            tuple(total * share for total in self._spectra or ()) if has_spectra else ()
        )
        self._row, self._spectra, self._n_with_spectra, self._n_windows = 0.0, None, 0, 0
        return len(self._rows) == self.span.n_parts

    @property
    def mean_row(self) -> DoubleArray:
        """The mean of the whole parts. Shape: that of a row."""
        mean: DoubleArray = np.mean(self._rows, axis=0)
        return mean

    @property
    def has_spectra(self) -> bool:
        """Whether all whole parts have spectra."""
        return all(self._parts)

    def distance(self, head: Head, centres: DoubleArray) -> float:
        """The score of the evidence, >= 0. ``centres``: the centres of the head, whitened."""
        n_numbers = head.centres.shape[1]
        rows = np.stack([row[-n_numbers:] for row in self._rows])
        kept = np.stack(self._without_a_stretch(whitened(rows, head)))
        return float(larger_distance(*distances_between(kept, centres), head).min())

    def peaks(self, number: int, healthy: HealthyPeaks) -> float:
        """The score of the spectrum with this ``number``, >= 0. All parts must have spectra.

        The score of all parts, but at most that of the parts without a stretch, times what a
        lasting fault loses with the stretch: chance hides peaks by the root of the time. The
        factor is at most 1.25. So a short sound can give little more than the healthy sound
        beside it.
        """
        n_parts = self.span.n_parts
        kept = n_parts - self.span.left_out
        n_windows = kept * self.span.part_windows
        parts = np.stack([part[number] for part in self._parts])
        least = min(healthy.score(mean, n_windows) for mean in self._without_a_stretch(parts))
        whole = healthy.score(parts.sum(axis=0) / np.float32(n_parts), self.span.n_windows)
        return min(whole, min(_MOST_GAIN, math.sqrt(n_parts / kept)) * least)

    def mean_spectrum(self, number: int) -> FloatArray:
        """The mean of the whole parts. All of them must have spectra."""
        mean: FloatArray = np.mean([part[number] for part in self._parts], axis=0)
        return mean

    def _without_a_stretch(self, parts: Values) -> list[Values]:
        """The mean without each stretch of parts. Shape: ``(n_parts, ...)`` to ``(...)`` each."""
        left_out = self.span.left_out
        total = parts.sum(axis=0)
        kept = self.span.n_parts - left_out
        return [
            (total - parts[first : first + left_out].sum(axis=0)) / kept
            for first in range(kept + 1)
        ]
