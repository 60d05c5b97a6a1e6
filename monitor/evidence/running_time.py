"""How long this computer has run since the first evidence: the time by which evidence gets old.

The system clock may be set, by years on a board without a battery. The running time only grows.
While the computer is off it stands still, so nothing is deleted too early.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monitor.clock import Clock
from monitor.durable import replace_content
from monitor.text.json_objects import json_object
from monitor.text.regular_files import MOST_STATE_BYTES, read_regular


class RunningTime:
    """Counts running time, and keeps it in a file. Safe to use from any thread after ``load``.

    ``path``: also has other counts of the folder, which ``save`` is given.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._offset_s = 0.0
        self.counts: Mapping[str, Any] = {}
        """What the file has besides the time."""

    def load(self) -> bool:
        """Continue from the file; from 0, and False, without one or if it is damaged."""
        now_s = self._clock.steady_s()
        self._offset_s = -now_s
        try:
            known = json_object(read_regular(self._path, MOST_STATE_BYTES))
            run_s, steady_s = float(known["run_s"]), float(known["steady_s"])
            boot_id = known["boot_id"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if not (math.isfinite(run_s) and run_s >= 0.0 and math.isfinite(steady_s)):
            return False
        self.counts = known
        is_this_boot = boot_id == self._clock.boot_id and steady_s <= now_s
        self._offset_s = run_s - (steady_s if is_this_boot else 0.0)
        return True

    def now_s(self) -> float:
        """The running time in seconds."""
        return self._offset_s + self._clock.steady_s()

    def is_at_least(self, run_s: float) -> None:
        """The running time was already so long, and the file was lost."""
        self._offset_s = max(self._offset_s, run_s - self._clock.steady_s())

    def save(self, counts: Mapping[str, Any]) -> None:
        """Write the file. Raises ``OSError``."""
        steady_s = self._clock.steady_s()
        known = {
            "run_s": round(self._offset_s + steady_s, 3),
            "steady_s": round(steady_s, 3),
            "boot_id": self._clock.boot_id,
        }
        replace_content(self._path, json.dumps({**counts, **known}).encode())
