"""Collects the values of one machine, and gives them on when their minute is over."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from monitor.history.tally import LEVEL_UNIT_DB, TIME_UNIT_S, Tally

PutMinute = Callable[[str, int, Tally], None]

_IDLE_S = 5.0
_FLOOR_DBFS = -120.0
_MOST_GAP_S = 86_400.0
_MOST_RATIO = 1e6
"""Also for a ratio that is not finite."""


@dataclass(slots=True)
class _Open:
    """The minute that is being filled. Times in seconds by what they count, or by state."""

    minute: int
    tally: Tally = field(default_factory=Tally)
    energy: float = 0.0
    n_samples: int = 0
    level_s: float = 0.0
    running_s: float = 0.0
    off_s: float = 0.0
    scored_s: float = 0.0
    received_s: float = 0.0
    lost_s: float = 0.0
    state_s: dict[str, float] = field(default_factory=dict)


class MinuteRecorder:
    """What one machine gives, minute by minute. Every method may be called from any thread.

    Minutes are those of the system clock, or of the recording. They may come in any order, and
    again: ``put`` gets what is to be added to a minute.
    """

    def __init__(self, machine: str, put: PutMinute) -> None:
        self.machine = machine
        self._put = put
        self._guard = threading.Lock()
        self._open: _Open | None = None
        self._state = ""
        self._absent_since_s: float | None = None
        self._counted_until_s = 0.0
        self._touched_s = 0.0

    def received(
        self,
        end_unix_s: float,
        seconds: float,
        now_s: float,
        *,
        scored: bool,
        operation: str | None,
        energy: float = 0.0,
        n_samples: int = 0,
        missing_s: float = 0.0,
    ) -> None:
        """``seconds`` of sound that end at a time have been processed.

        ``operation``: ``running``, ``off``, another word or None. ``energy``: the sum of the
        squares of ``n_samples``. ``missing_s``: seconds that the source has lost before.
        ``now_s``: of a clock that does not step.
        """
        with self._guard:
            self._touched_s = now_s
            if lost_s := self._missing(now_s, missing_s):
                for minute, part_s in parts(end_unix_s - seconds, min(lost_s, _MOST_GAP_S)):
                    self._at(minute).lost_s += part_s
            for minute, part_s in parts(end_unix_s, seconds):
                one = self._at(minute)
                one.received_s += part_s
                one.scored_s += part_s if scored else 0.0
                one.running_s += part_s if operation == "running" else 0.0
                one.off_s += part_s if operation == "off" else 0.0
                self._pass_state(one, part_s)
            if n_samples and self._open is not None:
                self._open.energy += energy
                self._open.n_samples += n_samples
                self._open.level_s += seconds

    def score(self, ratio: float) -> None:
        """A score of the newest sound, divided by the threshold."""
        with self._guard:
            if self._open is not None:
                finite = ratio if math.isfinite(ratio) else _MOST_RATIO
                self._open.tally.add_ratio(min(max(finite, 0.0), _MOST_RATIO))

    def show(self, state: str) -> None:
        """The state of the machine from now on."""
        with self._guard:
            self._state = state

    def absent(self, now_s: float) -> None:
        """From now on nothing arrives. A second call changes nothing."""
        with self._guard:
            if self._absent_since_s is None:
                self._absent_since_s = self._counted_until_s = now_s

    def turn(self, now_s: float, unix_s: float) -> None:
        """Count an absence until now, and give on a minute that gets nothing more."""
        with self._guard:
            if self._absent_since_s is not None:
                passed_s = min(max(0.0, now_s - self._counted_until_s), _MOST_GAP_S)
                self._counted_until_s = now_s
                self._touched_s = now_s
                for minute, part_s in parts(unix_s, passed_s):
                    one = self._at(minute)
                    one.lost_s += part_s
                    self._pass_state(one, part_s)
            elif now_s - self._touched_s > _IDLE_S:
                self._give_on()

    def flush(self) -> None:
        """Give on what there is."""
        with self._guard:
            self._give_on()

    def _missing(self, now_s: float, missing_s: float) -> float:
        """The lost seconds that ``turn`` has not counted; as ``Coverage.present``."""
        since_s, self._absent_since_s = self._absent_since_s, None
        if since_s is None:
            return missing_s
        return max(0.0, max(now_s - since_s, missing_s) - (self._counted_until_s - since_s))

    def _pass_state(self, one: _Open, seconds: float) -> None:
        if self._state:
            one.state_s[self._state] = one.state_s.get(self._state, 0.0) + seconds

    def _at(self, minute: int) -> _Open:
        if self._open is None or self._open.minute != minute:
            self._give_on()
            self._open = _Open(minute)
        return self._open

    def _give_on(self) -> None:
        if self._open is None:
            return
        one, self._open = self._open, None
        tally = one.tally
        for name in ("running", "off", "scored", "received", "lost"):
            setattr(tally, f"{name}_time", _units(getattr(one, f"{name}_s")))
        if one.n_samples and math.isfinite(one.energy):
            level_db = 10.0 * math.log10(max(one.energy / one.n_samples, 1e-30))
            tally.level_time = _units(one.level_s)
            level = round(max(level_db, _FLOOR_DBFS) / LEVEL_UNIT_DB)
            tally.level_sum = level * tally.level_time
        if one.state_s:
            tally.state = max(one.state_s, key=lambda name: one.state_s[name])
            longest_s = one.state_s[tally.state]
            tally.state_time = _units(max(0.0, 2 * longest_s - sum(one.state_s.values())))
        self._put(self.machine, one.minute, tally)


def parts(end_unix_s: float, seconds: float) -> Iterator[tuple[int, float]]:
    """A time that ends at ``end_unix_s``, cut at the full minutes: minute and seconds, in order."""
    start_s = end_unix_s - seconds
    while start_s < end_unix_s:
        minute = math.floor(start_s / 60.0)
        stop_s = min(end_unix_s, (minute + 1) * 60.0)
        yield minute, stop_s - start_s
        start_s = stop_s


def _units(seconds: float) -> int:
    return round(seconds / TIME_UNIT_S)
