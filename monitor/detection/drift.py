"""Drift and level: slow changes that are reported and never learned.

Neither moves the threshold. A machine that has changed for good is calibrated or
trained again by a person who knows why it changed.
"""

from __future__ import annotations

import math

from monitor.domain import Score
from monitor.model.manifest import Calibration

_ALLOWANCE = 0.75
_DECISION = 15.0
_LARGEST_STEP = 4.0
_LEVEL_MARGIN_DB = 2.0
_LEVEL_TIME_S = 10.0


class DriftWatch:
    """A one-sided cumulative sum over healthy scores (Page 1954, Biometrika 41).

    Once a block of ``calibration.block_s``, at least as long as an alert takes, its mean score,
    in healthy standard deviations above the healthy median, less an allowance of 0.75, is
    added to a sum that never falls below 0; above 15 it is drift. With independent
    normal scores that is reached by chance once in some e^22 blocks, and by a shift of
    1.5 deviations in twenty. One block adds at most 4, so that no single event is
    taken for a drift. State: the sum, and the block being filled.
    """

    def __init__(self, calibration: Calibration, hop_s: float) -> None:
        self._median = calibration.score_median
        self._deviation = max(calibration.score_deviation, 1e-6)
        blocks_apart = math.ceil(calibration.block_s / hop_s)
        self._per_block = max(blocks_apart, calibration.persistence_out_of)
        self._block: list[float] = []
        self._sum = 0.0

    @property
    def drifting(self) -> bool:
        """Whether healthy scores have moved for good."""
        return self._sum > _DECISION

    def push(self, score: Score) -> None:
        """Take one score of a machine on which no alert stands."""
        self._block.append(score.value)
        if len(self._block) < self._per_block:
            return
        mean = sum(self._block) / len(self._block)
        self._block.clear()
        step = min((mean - self._median) / self._deviation, _LARGEST_STEP)
        # Bounded above too, so that a machine that is well again is soon seen to be.
        self._sum = min(max(0.0, self._sum + step - _ALLOWANCE), 2 * _DECISION)


class LevelWatch:
    """Whether the level has left the range that was heard in calibration.

    The level of the scores is smoothed over ten seconds; it is shifted when it is
    2 dB outside the healthy range, and back when it is inside it.
    """

    def __init__(self, calibration: Calibration, hop_s: float) -> None:
        self._low_db = calibration.level_low_db
        self._high_db = calibration.level_high_db
        self._share = 1.0 - math.exp(-hop_s / _LEVEL_TIME_S)
        self._level_db: float | None = None
        self.shifted_db = 0.0

    def reset(self) -> None:
        """Sound was lost: the level is heard anew."""
        self._level_db = None

    def push(self, score: Score) -> None:
        """Take the level of one score and update ``shifted_db``, 0 while it is in range."""
        if self._level_db is None:
            self._level_db = score.level_db
        self._level_db += self._share * (score.level_db - self._level_db)
        above = self._level_db - self._high_db
        below = self._low_db - self._level_db
        margin = 0.0 if self.shifted_db else _LEVEL_MARGIN_DB
        if above > margin:
            self.shifted_db = above
        elif below > margin:
            self.shifted_db = -below
        else:
            self.shifted_db = 0.0
