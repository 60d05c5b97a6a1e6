"""Sound of which no part is long enough for an alert, because of gaps or of stops."""

from __future__ import annotations

from monitor.domain import MachineWarning

_N_PARTS = 10
"""So many short parts after each other are no single disturbance."""
_TEXTS = {
    "short_parts": "the sound comes in parts of at most {longest_s:.1f} s: an alert needs "
    "{needed_s:.1f} s without a gap; record longer parts",
    "short_runs": "the machine runs for at most {longest_s:.1f} s at a time, without settle_s "
    "after a start: an alert needs {needed_s:.1f} s",
}


class ShortParts:
    """Follows how long the parts of the sound are.

    No score contains sound from before and after a gap or a stop. ``name``: of the warning,
    ``short_parts`` for gaps and ``short_runs`` for stops. ``needed_s``: unbroken sound that an
    alert needs, apart from those over long spans, which only find a fault later.
    """

    def __init__(self, name: str, needed_s: float) -> None:
        self._name = name
        self._needed_s = needed_s
        self._part_s = self._longest_s = 0.0
        self._n_short = 0

    @property
    def warnings(self) -> tuple[MachineWarning, ...]:
        """The warning while all of the last parts are too short."""
        if self._n_short < _N_PARTS:
            return ()
        text = _TEXTS[self._name].format(longest_s=self._longest_s, needed_s=self._needed_s)
        return (MachineWarning(self._name, text),)

    def push(self, seconds: float) -> None:
        """Take the length of the next sound."""
        self._part_s += seconds
        if self._part_s >= self._needed_s:
            self._n_short, self._longest_s = 0, 0.0

    def end(self) -> None:
        """The part ends here."""
        if 0 < self._part_s < self._needed_s:
            self._n_short += 1
            self._longest_s = max(self._longest_s, self._part_s)
        self._part_s = 0.0
