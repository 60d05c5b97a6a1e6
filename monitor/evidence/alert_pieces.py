"""Decides which moments of an alert are kept. Without sound, disk or clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from monitor.alerts import AlertKind
from monitor.evidence.names import Moment

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A piece to keep. ``number``: of the alert's pieces, from 0."""

    moment: Moment
    number: int


class DayLimit:
    """At most ``most`` pieces of a machine in any 24 hours of running time.

    ``on_reached``: called for the first piece that is too many, and again after one was taken.
    """

    def __init__(self, most: int, on_reached: Callable[[], None] = lambda: None) -> None:
        self.most = most
        self._on_reached = on_reached
        self._is_reported = False
        self._taken_s: deque[float] = deque()

    def restore(self, taken_s: list[float]) -> None:
        """These pieces were kept before, at these running times."""
        self._taken_s = deque(sorted([*taken_s, *self._taken_s]))

    def take(self, now_s: float) -> bool:
        """Count a piece; False if there are too many."""
        while self._taken_s and self._taken_s[0] <= now_s - _DAY_S:
            self._taken_s.popleft()
        if len(self._taken_s) >= self.most:
            if not self._is_reported:
                self._is_reported = True
                self._on_reached()
            return False
        self._is_reported = False
        self._taken_s.append(now_s)
        return True


class AlertPieces:
    """The pieces of one machine's newest alert.

    - ``raised``: when the alert begins, and again when it goes on after a stop of the machine.
    - ``worse``: when the score is at least the double of the highest one that the last piece shows,
      and stays there for ``WORSE_FOR_S`` of sound.
    - ``cleared``: when the alert ends. The last of the ``most`` pieces is left for it.

    Times in ``now_s`` are running times, for the limit of a day; all others are positions in the
    stream, in seconds. A ratio is a score as a multiple of its threshold.
    """

    WORSE: ClassVar[float] = 2.0
    WORSE_FOR_S: ClassVar[float] = 5.0

    def __init__(self, most: int, after_s: float, limit: DayLimit) -> None:
        """``most``: pieces of an alert. ``after_s``: how long a piece goes on after its moment."""
        self.alert_id = ""
        """The newest alert, empty without one."""
        self.count = 0
        """How many pieces it has."""
        self._most = most
        self._after_s = after_s
        self._limit = limit
        self._is_open = False
        self._shown_ratio = 0.0
        self._shown_until_s = 0.0
        self._worse_since_s: float | None = None

    def resume(self, alert_id: str, count: int, ratio: float) -> None:
        """An alert of an earlier process goes on. ``ratio``: its highest so far."""
        self.alert_id, self.count, self._is_open = alert_id, count, True
        self._shown_ratio, self._shown_until_s = ratio, 0.0

    def continue_from(self, earlier: AlertPieces) -> None:
        """Go on with what is known of the alert, by other settings."""
        self.alert_id, self.count, self._is_open = earlier.alert_id, earlier.count, earlier._is_open
        self._shown_ratio, self._shown_until_s = earlier._shown_ratio, earlier._shown_until_s

    def begin_stream(self) -> None:
        """Positions begin at 0 again."""
        self._shown_until_s, self._worse_since_s = 0.0, None

    def decided(
        self, kind: AlertKind, ratio: float, at_s: float, now_s: float, *, goes_on: bool
    ) -> Wanted | None:
        """What to keep at a message. ``goes_on``: whether it is of the alert that is known."""
        if not goes_on:
            self.alert_id, self.count, self._is_open = "", 0, False
        if kind == "cleared":
            self._is_open = False
            return self._take("cleared", ratio, at_s, now_s)
        if self._is_open:
            return self._worsened(ratio, at_s, now_s)
        self._is_open = True
        self._shown_ratio, self._shown_until_s, self._worse_since_s = ratio, at_s, None
        return self._take("raised", ratio, at_s, now_s)

    def scored(self, ratio: float, at_s: float, now_s: float) -> Wanted | None:
        """What to keep at a score of the sound that ends at a position."""
        if not self._is_open or not self.alert_id:
            return None
        if at_s <= self._shown_until_s:
            self._shown_ratio = max(self._shown_ratio, ratio)
        if ratio < self.WORSE * self._shown_ratio:
            self._worse_since_s = None
            return None
        if self._worse_since_s is None:
            self._worse_since_s = at_s
        if at_s - self._worse_since_s < self.WORSE_FOR_S:
            return None
        return self._worsened(ratio, at_s, now_s)

    def ended(self) -> None:
        """The alert ended, and nothing may be kept of its end."""
        self._is_open = False

    def _worsened(self, ratio: float, at_s: float, now_s: float) -> Wanted | None:
        if ratio < self.WORSE * self._shown_ratio or self.count >= self._most - 1:
            return None
        return self._take("worse", ratio, at_s, now_s)

    def _take(self, moment: Moment, ratio: float, at_s: float, now_s: float) -> Wanted | None:
        if self.count >= self._most or not self._limit.take(now_s):
            return None
        self.count += 1
        self._shown_ratio, self._shown_until_s = max(ratio, 0.0), at_s + self._after_s
        self._worse_since_s = None
        return Wanted(moment, self.count - 1)
