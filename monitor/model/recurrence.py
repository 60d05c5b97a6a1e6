"""Sounds that come again and again, each of which is too short for an alert.

A belt that squeals for half a second every few seconds is a fault, and so is a knock every minute.
A mean over minutes hides such sounds, because they are absent most of the time. So the highest
score over the span of the bundle is taken from each minute. The score of fifteen minutes is the
level that twelve of these reach. A single sound reaches this in few minutes, however loud it is.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace

from monitor.domain import Score

PART_S = 60.0
N_PARTS = 15
NEEDED = 12
RECURRING_S = N_PARTS * PART_S


def parts_of(hop_s: float) -> int:
    """How many scores a part has, with one every ``hop_s``."""
    return max(1, round(PART_S / hop_s))


def can_recur(min_fault_s: float, span_s: float) -> bool:
    """Whether a single sound of ``min_fault_s`` is too short to reach enough parts.

    It is in the scores of ``min_fault_s + span_s`` seconds, and these may begin anywhere.
    """
    return math.ceil((min_fault_s + span_s) / PART_S) + 1 < NEEDED


class Recurrence:
    """The scores over the span of the bundle to one over fifteen minutes, every minute.

    Minutes are of sound that was scored: gaps and stops do not count. State: the highest score of
    the minute that is not complete, how many scores it has, and the highest scores of the last
    minutes, with where each minute begins.
    """

    def __init__(self, number: int, hop_s: float) -> None:
        """``number``: of the channel whose scores are made. ``hop_s``: from score to score."""
        self._number = number
        self._per_part = parts_of(hop_s)
        self.forget()

    def forget(self) -> None:
        """The next score needs a whole new span."""
        self._highest: Score | None = None
        self._n, self._first_sample = 0, 0
        self._parts: deque[tuple[Score, int]] = deque(maxlen=N_PARTS)

    def push(self, score: Score) -> Score | None:
        """Take the next score; the score over fifteen minutes where it ends a minute."""
        if not self._n:
            self._first_sample = score.first_sample
        if self._highest is None or score.value > self._highest.value:
            self._highest = score
        self._n += 1
        if self._n < self._per_part:
            return None
        self._parts.append((self._highest, self._first_sample))
        self._highest, self._n = None, 0
        if len(self._parts) < N_PARTS:
            return None
        in_order = sorted((one for one, _ in self._parts), key=lambda one: -one.value)
        return replace(
            in_order[0],
            value=in_order[NEEDED - 1].value,
            first_sample=self._parts[0][1],
            end_sample=score.end_sample,
            channel=self._number,
        )
