"""Chooses the pieces of a machine's sound: spread over time, while it runs and while it is quiet.

Memory: the pieces of the last seconds and a histogram of levels.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from monitor.domain import AudioBlock, FloatArray
from monitor.learning.pieces import SoundClass

_LOWEST_DBFS, _N_LEVELS = -120, 121
_LOUD_SHARE = 0.05
_RANGE_DB = 12.0
_QUIET_TIMES = 4.0


class LevelClasses:
    """Whether sound is that of the running machine, by its level, while there is no bundle.

    Running is at most 12 dB quieter than the loudest twentieth of all sound so far. A machine
    that is off is 20 to 30 dB quieter than one that runs. ``seconds``: of sound at each level,
    in whole dB from -120.
    """

    def __init__(self, seconds: list[float]) -> None:
        self.seconds = [*seconds, *[0.0] * _N_LEVELS][:_N_LEVELS]

    def push(self, level_dbfs: float, seconds: float) -> SoundClass:
        """Count sound, and classify it."""
        index = min(_N_LEVELS - 1, max(0, math.floor(level_dbfs) - _LOWEST_DBFS))
        self.seconds[index] += seconds
        return "running" if index >= self._lowest_running() else "quiet"

    @property
    def running_s(self) -> float:
        """Seconds of running. Louder sound that comes later can make them fewer."""
        return sum(self.seconds[max(0, math.ceil(self._lowest_running())) :])

    def _lowest_running(self) -> float:
        """The index in ``seconds`` of the lowest level of running."""
        left = _LOUD_SHARE * sum(self.seconds)
        for index in range(_N_LEVELS - 1, -1, -1):
            left -= self.seconds[index]
            if left < 0.0:
                return index - _RANGE_DB
        return 0.0


@dataclass(slots=True)
class PieceSound:
    """The sound of a piece. ``samples``: float32, shape ``(n_samples,)``.

    ``ratio``: the mean score as a share of the alarm threshold; None without scores.
    """

    samples: FloatArray
    sample_rate_hz: int
    kind: SoundClass
    level_dbfs: float
    ratio: float | None

    @property
    def seconds(self) -> float:
        """The length of the piece."""
        return len(self.samples) / self.sample_rate_hz


@dataclass(slots=True)
class _Growing:
    kind: SoundClass
    sample_rate_hz: int
    blocks: list[FloatArray] = field(default_factory=list)
    n_samples: int = 0
    ratios: list[float] = field(default_factory=list)


class Collector:
    """Blocks to pieces. Used from the machine's thread only.

    ``submit`` takes a piece and must not wait. A piece is contiguous sound of one kind, with
    ``BEFORE_S`` and ``AFTER_S`` of the same kind around it: a stop is recognised only some
    seconds after it. Quiet sound is taken four times less often than running sound.
    """

    BEGINNING_PIECES: ClassVar[int] = 24
    """Pieces until the first bundle."""
    BEFORE_S: ClassVar[float] = 3.0
    AFTER_S: ClassVar[float] = 8.0

    def __init__(self, piece_s: float, submit: Callable[[PieceSound], None]) -> None:
        self._piece_s = piece_s
        self._submit = submit
        self._kind: SoundClass | None = None
        self._rate_hz = 0
        self._lasted_s = 0.0
        self._growing: _Growing | None = None
        self._unconfirmed: deque[tuple[float, PieceSound]] = deque()
        self._since_s: dict[SoundClass, float] = {"running": math.inf, "quiet": math.inf}

    def push(
        self,
        block: AudioBlock,
        kind: SoundClass | None,
        every_s: float,
        ratios: list[float],
    ) -> None:
        """Take a block.

        ``kind``: None for sound that cannot be used. ``every_s``: seconds of running from piece
        to piece. ``ratios``: the scores that the block gave, as shares of the alarm threshold.
        """
        if block.discontinuous or kind != self._kind or block.sample_rate_hz != self._rate_hz:
            self._begin(kind, block.sample_rate_hz)
        if kind is None:
            return
        seconds = len(block.samples) / block.sample_rate_hz
        self._lasted_s += seconds
        self._since_s[kind] += seconds
        interval_s = every_s * (_QUIET_TIMES if kind == "quiet" else 1.0)
        is_due = self._lasted_s > self.BEFORE_S and self._since_s[kind] >= interval_s
        if self._growing is not None or is_due:
            self._grow(block, kind, ratios)
        while self._unconfirmed and self._unconfirmed[0][0] <= self._lasted_s:
            self._submit(self._unconfirmed.popleft()[1])

    def _begin(self, kind: SoundClass | None, rate_hz: int) -> None:
        """Other sound begins. Drop the pieces that are not submitted yet, and take others soon."""
        if self._kind is not None and (self._growing is not None or self._unconfirmed):
            self._since_s[self._kind] = math.inf
        self._kind, self._rate_hz, self._lasted_s = kind, rate_hz, 0.0
        self._growing = None
        self._unconfirmed.clear()

    def _grow(self, block: AudioBlock, kind: SoundClass, ratios: list[float]) -> None:
        growing = self._growing
        if growing is None:
            growing = self._growing = _Growing(kind, block.sample_rate_hz)
            self._since_s[kind] = len(block.samples) / block.sample_rate_hz
        growing.blocks.append(block.samples)
        growing.n_samples += len(block.samples)
        growing.ratios += ratios
        if growing.n_samples >= round(self._piece_s * growing.sample_rate_hz):
            self._growing = None
            piece = _piece_of(growing, self._piece_s)
            self._unconfirmed.append((self._lasted_s + self.AFTER_S, piece))


def _piece_of(growing: _Growing, piece_s: float) -> PieceSound:
    rate_hz = growing.sample_rate_hz
    samples = np.concatenate(growing.blocks)[: round(piece_s * rate_hz)]
    ratio = sum(growing.ratios) / len(growing.ratios) if growing.ratios else None
    return PieceSound(samples, rate_hz, growing.kind, level_dbfs(samples), ratio)


def level_dbfs(samples: FloatArray) -> float:
    """The level of samples in dBFS, at least -120. An offset of the converter is no sound."""
    sound = samples - samples.mean() if len(samples) else samples
    energy = float(np.dot(sound, sound)) / max(1, len(sound))
    return max(float(_LOWEST_DBFS), 10.0 * math.log10(energy + 1e-30))
