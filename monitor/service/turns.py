"""Which machines are monitored now, if one core does not compute the scores of all.

Sound that is lost a little everywhere gives no score anywhere: each gap begins a new window and a
new span. So machines rest in turn: some of them lose all their sound for a while, and the others
lose nothing.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Collection
from typing import ClassVar, Protocol

from monitor.service.schedule import Load

log = logging.getLogger(__name__)


class Turn(enum.Enum):
    """What a machine does with its sound."""

    UNLIMITED = "unlimited"
    """It takes all of it: there is computing time for all machines."""
    ON = "on"
    """It takes all of it, while others rest."""
    REST = "rest"
    """It loses all of it."""


class TakesTurns(Protocol):
    """A machine that can rest."""

    @property
    def may_rest(self) -> bool:
        """Whether sound arrives that would be lost or late if it is not taken now."""

    @property
    def is_deciding(self) -> bool:
        """Whether the newest scores may soon raise an alert."""

    @property
    def taken_s(self) -> float:
        """Seconds of sound that were processed so far."""

    def take_turn(self, turn: Turn) -> None:
        """Lose all sound from now on, or take it again."""


class Turns:
    """Decides which machines rest. Call ``turn`` about every second, from one thread.

    No machine rests as long as all sound is processed, even if it is late. Else as many machines
    are monitored as the loop has computing time for, each for ``LONGEST_TURN_S`` at most. Their
    number follows how long machines wait for the loop, and how long the loop waits for machines.

    State: how many may be monitored (None: all), which are and which rest, each since when.
    """

    TOO_LATE_S: ClassVar[float] = 1.5
    TURNS_TOO_LATE: ClassVar[int] = 3
    """Machines rest if they wait longer for so many turns, while more sound comes than is
    processed. The pipe of a program holds four seconds."""

    LATE_S: ClassVar[float] = 1.6
    PUNCTUAL_S: ClassVar[float] = 0.8
    """Above the first, fewer machines are monitored; below the second, more. Half of a second at a
    time would take 1.5 times as long as two seconds."""

    MOST_BUSY: ClassVar[float] = 0.95
    """The part of the time in which the loop may compute."""

    LONGEST_TURN_S: ClassVar[float] = 30.0
    SHORTEST_TURN_S: ClassVar[float] = 12.0
    """The first score takes two seconds, and an alert some more."""

    LONGEST_REST_S: ClassVar[float] = 60.0
    """Turns are shorter if machines would rest longer, but not shorter than the shortest."""

    CALM_S: ClassVar[float] = 20.0
    """After this time without a machine that rests, there is computing time for all."""

    def __init__(self) -> None:
        self._most: float | None = None
        self._on: dict[TakesTurns, float] = {}
        self._resting: dict[TakesTurns, float] = {}
        self._taken_s: dict[TakesTurns, float] = {}
        self._turned_s: float | None = None
        self._rate = self._rate_now = 0.0
        self._n_before = 0
        self._n_late = 0
        self._swaps = 0.0
        self._calm_since_s: float | None = None

    def turn(self, machines: Collection[TakesTurns], load: Load, now_s: float) -> None:
        """Decide. ``load``: of the loop since the last turn; ``now_s``: of a monotonic clock."""
        passed_s = now_s - self._turned_s if self._turned_s is not None else 0.0
        self._turned_s = now_s
        self._follow([one for one in machines if one.may_rest], now_s)
        if passed_s > 0.0:
            self._measure(machines, passed_s)
            if self._most is None:
                self._most = self._first_limit(load)
            else:
                self._most = self._next_limit(self._most, load, passed_s)
                self._look_for_end(self._most, now_s)
        if self._most is not None:
            self._rotate(self._most, passed_s, now_s)

    def _follow(self, live: Collection[TakesTurns], now_s: float) -> None:
        """Machines come and go."""
        known = set(live)
        for group in (self._on, self._resting):
            for one in [one for one in group if one not in known]:
                del group[one]
                one.take_turn(Turn.UNLIMITED)
        for one in live:
            if one not in self._resting:
                self._on.setdefault(one, now_s)

    @property
    def _n_live(self) -> int:
        return len(self._on) + len(self._resting)

    def _measure(self, machines: Collection[TakesTurns], passed_s: float) -> None:
        """How many seconds of sound that comes in real time are processed in a second."""
        before, self._taken_s = self._taken_s, {one: one.taken_s for one in machines}
        live = (*self._on, *self._resting)
        sound_s = sum(self._taken_s[one] - before.get(one, 0.0) for one in live)
        self._rate_now = sound_s / passed_s
        self._rate += 0.3 * (self._rate_now - self._rate)

    def _first_limit(self, load: Load) -> float | None:
        """How many machines may be monitored; None while that is all of them."""
        n_live, before = self._n_live, self._n_before
        self._n_before = n_live
        is_late = load.waited_s > self.TOO_LATE_S and self._rate_now < n_live - 1
        is_starting = n_live > 1.02 * before  # to start a program delays the others
        self._n_late = self._n_late + 1 if is_late and not is_starting else 0
        if self._n_late < self.TURNS_TOO_LATE:
            return None
        self._n_late, self._calm_since_s = 0, None
        most = max(1.0, 0.8 * self._rate)
        log.warning(
            "the computer is too slow for all machines: about %d of %d are monitored at a time, "
            "in turn",
            *(most, n_live),
        )
        return most

    def _next_limit(self, most: float, load: Load, passed_s: float) -> float:
        if load.waited_s > self.LATE_S:  # what is processed in a second is what is possible
            most = min(most, max(self.MOST_BUSY * self._rate, 0.8 * most))
        elif load.waited_s < self.PUNCTUAL_S:
            busy = max(0.5, 1.0 - load.idle_s / passed_s)
            most = max(most + 1.0, most * min(1.1, max(1.02, self.MOST_BUSY / busy)))
        return min(max(1.0, most), float(max(1, self._n_live)))

    def _look_for_end(self, most: float, now_s: float) -> None:
        if most < self._n_live:
            self._calm_since_s = None
        elif self._calm_since_s is None:
            self._calm_since_s = now_s
        elif now_s - self._calm_since_s > self.CALM_S:
            log.info("there is computing time for all machines again")
            self._most = None
            for one in (*self._on, *self._resting):
                one.take_turn(Turn.UNLIMITED)
            self._on |= self._resting
            self._resting.clear()

    def _rotate(self, most: float, passed_s: float, now_s: float) -> None:
        """Those that are monitored for longest rest in place of those that rest for longest."""
        n_on = int(most)
        n_rest = max(1, self._n_live - n_on)
        turn_s = min(self.LONGEST_TURN_S, self.LONGEST_REST_S * n_on / n_rest)
        turn_s = max(self.SHORTEST_TURN_S, turn_s)
        self._swaps += passed_s * n_on / turn_s
        n_swaps, self._swaps = divmod(self._swaps, 1.0)
        n_chosen = max(0, len(self._on) - n_on) + min(int(n_swaps), len(self._resting))
        free = [
            one
            for one, since_s in self._on.items()
            if not one.is_deciding or now_s - since_s > 2 * turn_s
        ]
        chosen = free[:n_chosen]
        woken = list(self._resting)[: max(0, n_on - len(self._on) + len(chosen))]
        for one in chosen:
            del self._on[one]
            self._resting[one] = now_s
            one.take_turn(Turn.REST)
        for one in woken:
            del self._resting[one]
            self._on[one] = now_s
            one.take_turn(Turn.ON)
