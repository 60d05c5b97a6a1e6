"""Drift and level: slow changes that are reported and never learned.

They do not change the threshold. After a permanent change, the user finds the cause and
calibrates or trains again.
"""

from __future__ import annotations

import math
from collections import deque

from monitor.domain import Score
from monitor.model.manifest import Calibration

_ALLOWANCE = 0.75
_DRIFT_SUM = 15.0
_LARGEST_STEP = 4.0
_LEVEL_MARGIN_DB = 2.0
_SMALLEST_SHIFT_DB = 0.5
_LEVEL_TIME_S = 10.0


class DriftWatch:
    """A one-sided cumulative sum over healthy scores (Page 1954, Biometrika 41).

    For every block of ``calibration.block_s``, at least as long as an alert takes, the mean
    score is expressed in healthy standard deviations above the healthy median. This value less
    an allowance of 0.75 is added to a sum that never falls below 0. A sum above 15 is drift.
    If the scores are independent and normal, chance alone gives drift once in about e^22 blocks.
    A shift of 1.5 deviations gives drift after twenty blocks. One block adds at most 4, so that a
    single event is not taken for drift.

    Scores of a fault are left out: those while an alert is raised, the ``near_alert`` scores
    before and after it, and all above ``clear_threshold``.

    State: the sum, the block that is being filled, the last ``near_alert`` scores (they count
    once no alert follows them) and how many scores after an alert are still to be left out.
    """

    def __init__(
        self, calibration: Calibration, hop_s: float, *, clear_threshold: float, near_alert: int
    ) -> None:
        self._median = calibration.score_median
        self._deviation = max(calibration.score_deviation, 1e-6)
        blocks_apart = math.ceil(calibration.block_s / hop_s)
        self._per_block = max(blocks_apart, calibration.persistence_out_of)
        self._clear_threshold = clear_threshold
        self._near_alert = near_alert
        self._recent: deque[float] = deque()
        self._left_out = 0
        self._block: list[float] = []
        self._sum = 0.0

    @property
    def drifting(self) -> bool:
        """Whether healthy scores have risen permanently."""
        return self._sum > _DRIFT_SUM

    def push(self, score: Score, *, raised: bool) -> None:
        """Take the next score; ``raised``: whether an alert is raised at it."""
        if raised:
            self._recent.clear()
            self._left_out = self._near_alert
        elif self._left_out:
            self._left_out -= 1
        elif score.value <= self._clear_threshold:
            self._recent.append(score.value)
            if len(self._recent) > self._near_alert:
                self._add(self._recent.popleft())

    def _add(self, value: float) -> None:
        self._block.append(value)
        if len(self._block) < self._per_block:
            return
        mean = sum(self._block) / len(self._block)
        self._block.clear()
        step = min((mean - self._median) / self._deviation, _LARGEST_STEP)
        # The upper bound lets the sum return soon after the scores do.
        self._sum = min(max(0.0, self._sum + step - _ALLOWANCE), 2 * _DRIFT_SUM)


class LevelWatch:
    """Whether the level has left the range of the healthy recordings.

    The level of the scores is smoothed over ten seconds. A shift begins 2 dB outside the
    healthy range and ends 0.5 dB outside it, so that a shift never rounds to 0 dB.
    """

    def __init__(self, calibration: Calibration, hop_s: float) -> None:
        self._low_db = calibration.level_low_db
        self._high_db = calibration.level_high_db
        self._share = 1.0 - math.exp(-hop_s / _LEVEL_TIME_S)
        self._level_db: float | None = None
        self.shifted_db = 0.0
        """How far the level is above (positive) or below the healthy range; 0 without a shift."""

    @property
    def detail(self) -> str:
        """The shift for people: ``5 dB quieter than any healthy recording``; empty without one."""
        if not self.shifted_db:
            return ""
        direction = "louder" if self.shifted_db > 0 else "quieter"
        return f"{abs(self.shifted_db):.0f} dB {direction} than any healthy recording"

    def reset(self) -> None:
        """Sound was lost: the smoothing begins again."""
        self._level_db = None

    def push(self, score: Score) -> None:
        """Take the level of one score and update ``shifted_db``."""
        if self._level_db is None:
            self._level_db = score.level_db
        self._level_db += self._share * (score.level_db - self._level_db)
        above = self._level_db - self._high_db
        below = self._low_db - self._level_db
        margin = _SMALLEST_SHIFT_DB if self.shifted_db else _LEVEL_MARGIN_DB
        if above > margin:
            self.shifted_db = above
        elif below > margin:
            self.shifted_db = -below
        else:
            self.shifted_db = 0.0
