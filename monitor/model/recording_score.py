"""One anomaly score for a whole recording, comparable between recordings of any length.

A single shift of a few decibels is clearest in evidence averaged over all of a
clip, so the recording's windows are averaged in blocks of about ten seconds, each
block is scored, and the recording's score is the root mean square of the blocks'
scores: for a distance that is their likelihood ratio per block, and a clip of ten
seconds and an hour of the same machine give the same.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from monitor.domain import FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.head import Head, distance, offset
from monitor.model.manifest import ScoreKind
from monitor.model.reference_match import Bearings, Likeness, likeness_of, take_bearings

BLOCK_S = 10.0


def block_edges(n_windows: int, spec: LogMelSpec) -> list[int]:
    """Where the blocks of ``n_windows`` windows begin and end, ``n_blocks + 1`` indices.

    Blocks have the windows of ten seconds; a rest of less than half a block belongs
    to the last one, a longer rest is a block of its own.
    """
    per_block = spec.windows_in(BLOCK_S)
    n_blocks = max(1, math.floor(n_windows / per_block + 0.5))
    return [*range(0, n_blocks * per_block, per_block), n_windows]


class RecordingScore:
    """Windows to one score, in as good as constant memory.

    State: sums of the evidence and loss over the block being filled and over the
    one before it, which takes a short rest in; of finished blocks, one for every ten
    seconds, the score and where it lies towards reference machines, and their summed offsets.
    """

    def __init__(self, spec: LogMelSpec, kind: ScoreKind, head: Head) -> None:
        self._per_block = spec.windows_in(BLOCK_S)
        self._plain = kind == "plain"
        self._head = head
        self._filling = _Sum()
        self._before: _Sum | None = None
        self._finished: list[_Judged] = []
        self._loss, self._n_windows = 0.0, 0
        self._offsets = _Sum()

    @property
    def empty(self) -> bool:
        """Whether there was no window yet."""
        return self._n_windows == 0

    def push(self, evidence: FloatArray, loss: float) -> None:
        """Take one window. Shape: ``evidence`` is ``(d,)``."""
        self._loss += loss
        self._n_windows += 1
        if self._filling.n == self._per_block:
            if self._before is not None:
                self._finished.append(self._judge(self._before))
                self._offsets = self._offsets.plus(self._offset(self._before))
            self._before, self._filling = self._filling, _Sum()
        self._filling.add(loss if self._plain else evidence)

    def extend(self, evidence: FloatArray, loss: FloatArray) -> None:
        """Take the next windows. Shape: ``(n, d)`` and ``(n,)``."""
        for one_evidence, one_loss in zip(evidence, loss, strict=True):
            self.push(one_evidence, float(one_loss))

    @property
    def stretches(self) -> npt.NDArray[np.float64]:
        """The scores of the blocks of what was heard so far. Shape: ``(n_blocks,)``, none empty."""
        return np.array([block.score for block in self._judged()])

    @property
    def value(self) -> float:
        """The score of what was heard so far, >= 0. Raises ``ValueError`` when that is nothing."""
        if self.empty:
            raise ValueError("nothing was heard")
        if self._plain:
            return self._loss / self._n_windows
        return math.sqrt(float(np.square(self.stretches).mean()))

    @property
    def likeness(self) -> Likeness | None:
        """Whose sound it was, None where no reference machine is known or nothing was heard."""
        bearings = [block.bearings for block in self._judged()]
        return likeness_of([b for b in bearings if b is not None], self._head)

    @property
    def mean_offset(self) -> npt.NDArray[np.float64] | None:
        """The blocks' evidence less their nearest centres, on average. Shape: ``(d,)``.

        None for the plain score, and where nothing was heard.
        """
        if self._plain or self.empty:
            return None
        offsets = self._offsets
        for block in self._last():
            offsets = offsets.plus(self._offset(block))
        return offsets.mean

    def _judged(self) -> list[_Judged]:
        """Every block of what was heard so far."""
        return [*self._finished, *map(self._judge, self._last())]

    def _last(self) -> list[_Sum]:
        """The blocks that are not finished."""
        if self._before is None:
            return [] if self.empty else [self._filling]
        if 2 * self._filling.n >= self._per_block:
            return [self._before, self._filling]
        return [self._before.plus(self._filling)]

    def _offset(self, block: _Sum) -> _Sum:
        return _Sum() if self._plain else _Sum(offset(block.mean, self._head), 1)

    def _judge(self, block: _Sum) -> _Judged:
        if self._plain:
            return _Judged(float(block.mean), None)
        return _Judged(distance(block.mean, self._head), take_bearings(block.mean, self._head))


class _Judged(NamedTuple):
    """What is kept of a block."""

    score: float
    bearings: Bearings | None


class _Sum:
    """A running sum of evidence vectors, or of losses."""

    def __init__(self, total: npt.NDArray[np.float64] | float = 0.0, n: int = 0) -> None:
        self.total, self.n = total, n

    def add(self, values: FloatArray | float) -> None:
        self.total = self.total + np.asarray(values, dtype=np.float64)
        self.n += 1

    def plus(self, other: _Sum) -> _Sum:
        return _Sum(self.total + other.total, self.n + other.n)

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        return np.asarray(self.total) / self.n
