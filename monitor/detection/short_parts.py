"""Sound with so many gaps that no part of it is long enough for an alert."""

from __future__ import annotations

from monitor.domain import MachineWarning

_N_PARTS = 10
"""So many short parts after each other are no single disturbance."""


class ShortParts:
    """Follows how long the sound is between two gaps.

    No score contains sound from before and after a gap. ``needed_s``: unbroken sound that an alert
    needs, apart from those over long spans, which only find a fault later.
    """

    def __init__(self, needed_s: float) -> None:
        self._needed_s = needed_s
        self._part_s = self._longest_s = 0.0
        self._n_short = 0

    @property
    def warnings(self) -> tuple[MachineWarning, ...]:
        """``short_parts`` while all of the last parts are too short."""
        if self._n_short < _N_PARTS:
            return ()
        detail = (
            f"the sound comes in parts of at most {self._longest_s:.1f} s: an alert needs "
            f"{self._needed_s:.1f} s without a gap; record longer parts"
        )
        return (MachineWarning("short_parts", detail),)

    def push(self, seconds: float, *, after_gap: bool) -> None:
        """Take the length of the next block."""
        if after_gap and self._part_s:
            self._n_short += 1
            self._longest_s = max(self._longest_s, self._part_s)
            self._part_s = 0.0
        self._part_s += seconds
        if self._part_s >= self._needed_s:
            self._n_short, self._longest_s = 0, 0.0
