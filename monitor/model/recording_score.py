"""One anomaly score for a whole recording, comparable between recordings of any length.

A shift of a few decibels shows best in evidence that is averaged over a long time. So the
windows of a recording are averaged in blocks of about ten seconds and each block is scored. The
score of the recording is the root mean square of the distances of its blocks: this is
the likelihood ratio per block, so ten seconds and an hour of the same machine give the same
score. The local distance replaces it only where this is over the limit of the head, because below
the limit the distance separates recordings better. For a loss it is the mean over all windows.

The peaks of the spectra, averaged over the whole recording, are joined to it by a 6-norm. Their
weights are such that the largest healthy peaks hardly change it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from monitor.domain import DoubleArray, FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.head import Head, distances_of, offset
from monitor.model.peak_evidence import PeakEvidence
from monitor.model.reference_match import (
    ReferenceDistances,
    ReferenceMatch,
    distances_to_references,
    match_reference,
)

BLOCK_S = 10.0
_NORM = 6


def combined(scores: Sequence[float]) -> float:
    """The 6-norm: near the largest, and a little above it where others are as large."""
    largest = max(scores)
    if largest <= 0.0:
        return largest
    total: float = sum((score / largest) ** _NORM for score in scores)
    return largest * math.pow(total, 1.0 / _NORM)


def block_edges(n_windows: int, spec: LogMelSpec) -> list[int]:
    """Where the blocks of ``n_windows`` windows begin and end, ``n_blocks + 1`` indices.

    Blocks have the windows of ten seconds. A rest of less than half a block belongs to the
    last one, a longer rest is a block of its own.
    """
    per_block = spec.windows_in(BLOCK_S)
    n_blocks = max(1, math.floor(n_windows / per_block + 0.5))
    return [*range(0, n_blocks * per_block, per_block), n_windows]


class RecordingScore:
    """Windows to one score, in nearly constant memory.

    State: the sums of evidence and loss over the block being filled and over the one before it,
    which a short rest joins. Of each finished block: its distances. The sum of the offsets of the
    finished blocks.
    """

    def __init__(self, spec: LogMelSpec, head: Head, peaks: PeakEvidence | None = None) -> None:
        self._peaks = peaks if peaks is not None and any(peaks.recording_weights) else None
        self._above: DoubleArray | None = None
        self._n_with_spectra = 0
        self._per_block = spec.windows_in(BLOCK_S)
        self._head = head
        self._filling = _Sum()
        self._before: _Sum | None = None
        self._finished: list[_ScoredBlock] = []
        self._loss, self._n_windows = 0.0, 0
        self._offset_sum: DoubleArray | float = 0.0

    @property
    def empty(self) -> bool:
        """Whether there was no window yet."""
        return self._n_windows == 0

    def push(self, evidence: FloatArray, loss: float, above: FloatArray | None = None) -> None:
        """Take one window. Shape: ``evidence`` is ``(d,)``.

        ``above``: its spectra as a row of ``PeakScores``, None without any.
        """
        if self._peaks is not None and above is not None:
            if self._above is None:
                self._above = above.astype(np.float64)
            else:
                self._above += above
            self._n_with_spectra += 1
        self._loss += loss
        self._n_windows += 1
        if self._filling.n == self._per_block:
            if self._before is not None:
                self._finished.append(self._score(self._before))
                if self._head.is_distance:
                    self._offset_sum = self._offset_sum + self._offset(self._before)
            self._before, self._filling = self._filling, _Sum()
        self._filling.add(evidence, loss)

    def extend(
        self,
        evidence: FloatArray,
        loss: FloatArray,
        above: Sequence[FloatArray | None] | None = None,
    ) -> None:
        """Take the next windows. Shape: ``(n, d)`` and ``(n,)``; ``above`` of each window."""
        each = above or [None] * len(loss)
        for one_evidence, one_loss, one_above in zip(evidence, loss, each, strict=True):
            self.push(one_evidence, float(one_loss), one_above)

    @property
    def stretches(self) -> DoubleArray:
        """The distances or losses of the blocks so far. Shape: ``(n_blocks,)``, none is empty."""
        return np.array([block.distance for block in self._scored()])

    @property
    def distances(self) -> tuple[float, float]:
        """The root mean squares of the distances and of the local distances of the blocks."""
        blocks = np.array([(block.distance, block.local) for block in self._scored()])
        distance, local = np.sqrt(np.square(blocks).mean(axis=0)).tolist()
        return distance, local

    @property
    def value(self) -> float:
        """The score of the windows so far, >= 0. Raises ``ValueError`` without any window."""
        if self.empty:
            raise ValueError("no window to score")
        if not self._head.is_distance:
            return self._loss / self._n_windows
        distance, local = self.distances
        weighted = self._head.local_weight * local
        if weighted > self._head.local_limit:
            distance = max(distance, weighted)
        return combined([distance, *self._weighted_peaks()])

    @property
    def peaks(self) -> tuple[float, ...]:
        """The scores of the spectra over all windows that have any; empty without these."""
        if self._peaks is None or self._above is None:
            return ()
        n = self._n_with_spectra
        return self._peaks.scores.of(self._above / n, n)

    def _weighted_peaks(self) -> list[float]:
        weights = self._peaks.recording_weights if self._peaks is not None else ()
        return [weight * peak for weight, peak in zip(weights, self.peaks, strict=False)]

    @property
    def reference_match(self) -> ReferenceMatch | None:
        """Own machine or reference machine; None without reference machines or windows."""
        distances = [block.references for block in self._scored()]
        return match_reference([one for one in distances if one is not None], self._head)

    @property
    def mean_offset(self) -> DoubleArray | None:
        """The mean over the blocks of evidence minus nearest centre. Shape: ``(d,)``.

        None for a loss head, and without any window.
        """
        if not self._head.is_distance or self.empty:
            return None
        blocks = self._unfinished()
        total = self._offset_sum
        for block in blocks:
            total = total + self._offset(block)
        return np.asarray(total) / (len(self._finished) + len(blocks))

    def _scored(self) -> list[_ScoredBlock]:
        """Every block so far."""
        return [*self._finished, *map(self._score, self._unfinished())]

    def _unfinished(self) -> list[_Sum]:
        """The blocks that may still grow."""
        if self._before is None:
            return [] if self.empty else [self._filling]
        if 2 * self._filling.n >= self._per_block:
            return [self._before, self._filling]
        return [self._before.plus(self._filling)]

    def _offset(self, block: _Sum) -> DoubleArray:
        return offset(block.mean_evidence, self._head)

    def _score(self, block: _Sum) -> _ScoredBlock:
        head, evidence = self._head, block.mean_evidence
        if not head.is_distance:
            return _ScoredBlock(block.mean_loss, 0.0, None)
        distance, local = distances_of(evidence[None], head)
        references = distances_to_references(evidence, head)
        return _ScoredBlock(float(distance[0]), float(local[0]), references)


class _ScoredBlock(NamedTuple):
    """What is kept of a block: its distances, or its loss as ``distance``."""

    distance: float
    local: float
    references: ReferenceDistances | None


@dataclass(slots=True)
class _Sum:
    """Running sums of the evidence ``(d,)`` and the loss of ``n`` windows."""

    evidence: DoubleArray | float = 0.0
    loss: float = 0.0
    n: int = 0

    def add(self, evidence: FloatArray, loss: float) -> None:
        self.evidence = self.evidence + np.asarray(evidence, dtype=np.float64)
        self.loss += loss
        self.n += 1

    def plus(self, other: _Sum) -> _Sum:
        return _Sum(self.evidence + other.evidence, self.loss + other.loss, self.n + other.n)

    @property
    def mean_evidence(self) -> DoubleArray:
        return np.asarray(self.evidence) / self.n

    @property
    def mean_loss(self) -> float:
        return self.loss / self.n
