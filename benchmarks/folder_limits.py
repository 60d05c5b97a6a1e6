"""Watches how much space the history and the evidence of a daemon take, all the time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor.evidence.inventory import take_inventory
from monitor.history.store import HistoryStore
from monitor.history.tally import Tally

_EVERY_S = 0.01
_EVIDENCE_EVERY = 5
"""Looks at the history for one at the evidence, which takes as long as it has files."""
_ROWS_AT_ONCE = 5000


@dataclass
class Space:
    """``most``: the largest size seen, in bytes. ``exceeded``: looks with more than ``limit``."""

    limit: int
    most: int = 0
    exceeded: int = 0

    def add(self, n_bytes: int, again: int) -> None:
        """A size, and that of a second look if the first one was above the limit.

        A look is not one moment: a file may be counted that was deleted before another was written.
        """
        seen = min(n_bytes, again)
        self.most = max(self.most, seen)
        self.exceeded += seen > self.limit


class FolderWatch:
    """Looks at ``history.sqlite3`` with its log, and at ``evidence``, in a thread."""

    def __init__(self, state: Path, *, history_bytes: int, evidence_bytes: int) -> None:
        self.history = Space(history_bytes)
        self.evidence = Space(evidence_bytes)
        self.n_looks = 0
        self._state = state
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def problems(self) -> list[str]:
        """What was above its limit."""
        found = {"history": self.history, "evidence": self.evidence}
        return [
            f"{name}: {space.most} bytes, {space.exceeded} times above {space.limit}"
            for name, space in found.items()
            if space.exceeded
        ]

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self.n_looks += 1
            self._look(self.history, self._history_bytes)
            if self.n_looks % _EVIDENCE_EVERY == 0:
                self._look(self.evidence, self._evidence_bytes)

    def _look(self, space: Space, look: Callable[[], int]) -> None:
        n_bytes = look()
        space.add(n_bytes, look() if n_bytes > space.limit else n_bytes)

    def _history_bytes(self) -> int:
        return sum(_size(self._state / f"history.sqlite3{suffix}") for suffix in ("", "-wal"))

    def _evidence_bytes(self) -> int:
        try:
            return take_inventory(self._state / "evidence").n_bytes
        except OSError:
            return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def fill_history(path: Path, machines: Sequence[str], newest_unix_s: float, n_bytes: int) -> None:
    """Write minutes of earlier days until the file has this size.

    The daemon must then delete from its beginning on.
    """
    store = HistoryStore(path)
    minute = int(newest_unix_s // 60)
    while path.stat().st_size < n_bytes:
        minutes: dict[tuple[str, int], Tally] = {}
        while len(minutes) < _ROWS_AT_ONCE:
            minute -= 1
            tally = Tally(state="ok", state_time=600, scored_time=600, received_time=600)
            tally.add_ratio(0.3 + minute % 7 / 20)
            minutes |= {(machine, minute): tally for machine in machines}
        store.write(minutes, [], durable=False)
        store.cut_log()
    store.close()
